import { existsSync } from 'node:fs'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { commitTree, nodeApp, type Paas, startPaas } from './instance.ts'

const broken: { name: string; files: Record<string, string>; says: RegExp[] }[] = [
  {
    name: 'a failing build script',
    files: {
      ...nodeApp('no'),
      'package.json': JSON.stringify({
        scripts: { start: 'node server.js', build: 'echo about to fail; exit 3' },
      }),
    },
    says: [/about to fail/, /npm run build/, /3/],
  },
  {
    name: 'an app that never listens',
    files: nodeApp('no', { listen: 'setInterval(() => {}, 1000); console.log("still thinking")' }),
    says: [/web did not answer on port 5000 within 3 s/, /still thinking/],
  },
  {
    name: 'an app on another port',
    files: nodeApp('no', { listen: 'server.listen(3000)' }),
    says: [/port 3000/, /5000/],
  },
  {
    name: 'an app on 127.0.0.1',
    files: nodeApp('no', { listen: 'server.listen(process.env.PORT, "127.0.0.1")' }),
    says: [/127\.0\.0\.1:5000/],
  },
  {
    name: 'an app that exits at once',
    files: nodeApp('no', { before: 'console.error("config missing"); process.exit(7)' }),
    says: [/exit(ed)?.*7/, /config missing/],
  },
  {
    name: 'a bad Procfile line',
    files: { ...nodeApp('no'), Procfile: 'web: node server.js\nWorker! node x\n' },
    says: [/Procfile/, /line 2/],
  },
  {
    name: 'a Procfile with a type twice',
    files: { ...nodeApp('no'), Procfile: 'web: node server.js\nweb: node x\n' },
    says: [/Procfile/, /line 2/, /web/],
  },
  {
    name: 'an unreadable package.json',
    files: { ...nodeApp('no'), 'package.json': '{ "name": ' },
    says: [/package\.json/],
  },
  {
    name: 'engines that no version satisfies',
    files: {
      ...nodeApp('no'),
      'package.json': JSON.stringify({ engines: { node: '>=99' }, scripts: { start: 'node .' } }),
    },
    says: [/>=99/, /package\.json/],
  },
  {
    name: 'nothing that is detected',
    files: { 'notes.txt': 'hello' },
    says: [/notes\.txt/, /node/i, /static/i],
  },
]

describe('a push that cannot work', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    const result = await paas.push('shop', await paas.tree('good', nodeApp('good version')))
    expect(result.out).toContain('Application deployed')
    await paas.ssh(['checks:set', 'shop', 'timeout=3']) // some wait until it is over
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const head = async () =>
    (
      await exec('git', [
        '--git-dir',
        join(paas.config.home, 'repos/shop.git'),
        'rev-parse',
        'main',
      ])
    ).stdout

  async function refused(dir: string, says: RegExp[]): Promise<void> {
    const before = await head()
    const result = await paas.push('shop', dir)
    for (const sentence of says) expect(result.out).toMatch(sentence)
    expect(result.out).toContain(' !     ')
    expect(result.out).toContain('pre-receive hook declined')
    expect(result.code).not.toBe(0)
    expect(await head()).toBe(before)
    expect(await paas.get('shop')).toMatchObject({ status: 200, body: 'good version' })
    const processes: { state: string }[] = JSON.parse(
      (await paas.ssh(['ps', 'shop', '--json'])).stdout,
    )
    expect(processes.map(({ state }) => state)).toEqual(['running'])
  }

  test.each(broken)('because of $name is refused, and the old version serves on', async (one) => {
    await refused(await paas.tree(one.name.replaceAll(/\W/g, '-'), one.files), one.says)
  })

  test('because the Procfile leads out of the repository is refused', async () => {
    const dir = await paas.tree('link', nodeApp('no'))
    await symlink('/etc/passwd', join(dir, 'Procfile'))
    await refused(await commitTree(dir, {}), [
      /Procfile is a symbolic link that leads out of the repository/,
    ])
  })

  test('because it has no files is refused', async () => {
    await refused(await paas.tree('empty', {}), [/no files|empty/i])
  })

  test('because of its ref is refused', async () => {
    const result = await paas.push('shop', join(paas.base, 'good'), ['HEAD:refs/strange/main'])
    expect(result.out).toContain('is neither a branch nor a tag')
    expect(result.code).not.toBe(0)
  })

  test('of a tag alone, or refused, leaves nothing of an app that does not exist', async () => {
    const dir = join(paas.base, 'good')
    const result = await paas.push('ghost', dir, ['HEAD:refs/tags/v1'])
    expect(result.out).toContain('App "ghost" does not exist')
    expect(result.code).not.toBe(0)
    expect(existsSync(paths(paas.config).repo('ghost'))).toBe(false)
  })

  test('because no push creates an app, names the one that was meant', async () => {
    expect((await paas.ssh(['apps:autocreate', 'off'])).code).toBe(0)
    const typo = await paas.push('shpo', join(paas.base, 'good'))
    expect(typo.out).toContain('App "shpo" does not exist. Did you mean "shop"?')
    expect(typo.out).toContain('apps:create shpo')
    expect(typo.code).not.toBe(0)
    expect((await paas.ssh(['apps:exists', 'shpo'])).code).toBe(20)
    expect((await paas.ssh(['apps:autocreate', 'maybe'])).code).toBe(2)
    expect((await paas.ssh(['apps:autocreate', 'on', '--json'])).stdout).toContain('true')
  })

  test.each(['Shop', '1shop', 'shop_2', 'a'.repeat(41), '../shop', 'shop;id'])(
    'because of the app name %s is refused',
    async (name) => {
      const result = await paas.push(name, join(paas.base, 'good'))
      expect(result.out).toMatch(/is not an app name/)
      expect(result.code).not.toBe(0)
    },
  )

  test('keeps the failed release and its last words findable', async () => {
    const files = nodeApp('no', { before: 'console.error("famous last words"); process.exit(9)' })
    await paas.push('shop', await paas.tree('words', files))
    const releases: { release: string; status: string }[] = JSON.parse(
      (await paas.ssh(['releases', 'shop', '--json'])).stdout,
    )
    expect(releases[0]?.status).toBe('failed')
    const logs = await paas.ssh(['logs', 'shop', '--release', releases[0]?.release ?? ''])
    expect(logs.stdout).toContain('famous last words')
  })

  test('has files that are not kept, and settings that are', async () => {
    const { stdout } = await paas.ssh(['releases', 'shop', '--json'])
    const failed: string = JSON.parse(stdout)[0].release
    await paas.ssh(['images:gc'])
    const image = 'registry.invalid/shop:1'
    for (const call of [
      ['releases:sbom', 'shop', failed],
      ['images:export', 'shop', failed],
      ['images:push', 'shop', failed, image],
    ]) {
      const { code, stderr } = await paas.ssh(call)
      expect([call, code]).toEqual([call, 1])
      expect(stderr).toContain(`The files of ${failed}, which never served, are not kept`)
    }
    const diff = await paas.ssh(['releases:diff', 'shop', 'v1', failed])
    expect([diff.code, diff.stderr]).toEqual([0, ''])
    expect(diff.stdout).toMatch(/app: source .*\n +the files of one are not kept/)
  })

  test('does not stop the next good one', async () => {
    const result = await paas.push('shop', await paas.tree('good', nodeApp('better version')))
    expect(result.code).toBe(0)
    expect((await paas.get('shop')).body).toBe('better version')
  })
})
