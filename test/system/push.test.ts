import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { httpGet, nodeApp, type Paas, startPaas } from './instance.ts'

describe('a push', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  test('of a new app creates it, builds it and prints the URL that answers', async () => {
    const dir = await paas.tree('shop', nodeApp('hello one'))
    const result = await paas.push('shop', dir)
    expect(result.out).toContain('-----> Creating shop')
    expect(result.out).toMatch(/-----> Building shop from [0-9a-f]{7} \(main\)/)
    expect(result.out).toContain('-----> Starting shop v1')
    expect(result.out).toMatch(/=====> Application deployed:[^]*http:\/\/shop\.localhost:\d+/)
    expect(result.code).toBe(0)
    expect(await paas.get('shop')).toMatchObject({ status: 200, body: 'hello one' })
  })

  test('of one changed line serves the new version and says which layers were re-used', async () => {
    const dir = await paas.tree('shop', nodeApp('hello two'))
    const result = await paas.push('shop', dir)
    expect(result.code).toBe(0)
    expect(result.out).toContain('re-used')
    expect((await paas.get('shop')).body).toBe('hello two')
  })

  test('gives the process its environment, with the pushed commit', async () => {
    const env: Record<string, string> = JSON.parse((await paas.get('shop', '/env')).body)
    const { stdout } = await exec('git', ['rev-parse', 'HEAD'], { cwd: join(paas.base, 'shop') })
    expect(env).toMatchObject({
      PORT: '5000',
      DYNO: 'web.1',
      HOME: '/app',
      PAAS_APP: 'shop',
      PAAS_RELEASE: 'v2',
      PAAS_PROCESS: 'web.1',
      GIT_REV: stdout.trim(),
    })
    expect(Object.keys(env)).not.toContain('PAAS_HOME')
  })

  test('of another branch is stored and not deployed, and says how to deploy it', async () => {
    const dir = await paas.tree('shop', nodeApp('hello branch'))
    const result = await paas.push('shop', dir, ['HEAD:refs/heads/feature'])
    expect(result.code).toBe(0)
    expect(result.out).toContain('Branch "feature" is stored, not deployed')
    expect(result.out).toContain('git push paas feature:main')
    expect((await paas.get('shop')).body).toBe('hello two')
  })

  test('that would delete the deploy branch is refused', async () => {
    const result = await paas.push('shop', join(paas.base, 'shop'), [':refs/heads/main'])
    expect(result.out).toContain('"main" is the deploy branch and cannot be deleted')
    expect(result.code).not.toBe(0)
  })

  test('from a shallow clone works', async () => {
    const source = await paas.tree('deep', nodeApp('deep one'))
    await paas.tree('deep', nodeApp('deep two'))
    const clone = join(paas.base, 'shallow')
    await exec('git', ['clone', '-q', '--depth', '1', `file://${source}`, clone])
    const result = await paas.push('deep', clone)
    expect(result.out).toContain('Application deployed')
    expect((await paas.get('deep')).body).toBe('deep two')
  })

  test('removes files of the version before from what runs', async () => {
    const dir = await paas.tree('shop', { ...nodeApp('hello'), 'old.txt': 'old' })
    await paas.push('shop', dir)
    expect((await paas.ssh(['run', 'shop', 'ls'])).stdout).toContain('old.txt')
    await rm(join(dir, 'old.txt'))
    await paas.push('shop', await paas.tree('shop', {}))
    expect((await paas.ssh(['run', 'shop', 'ls', '-a'])).stdout).not.toMatch(/old\.txt|\.git\b/)
  })

  test('of a static site serves its files and hides dotfiles', async () => {
    const files = { 'index.html': '<h1>static</h1>', '.secret': 'no', 'a/b.txt': 'b' }
    const result = await paas.push('site', await paas.tree('site', files))
    expect(result.out).toContain('Application deployed')
    expect(await paas.get('site')).toMatchObject({ status: 200, body: '<h1>static</h1>' })
    expect((await paas.get('site', '/a/b.txt')).body).toBe('b')
    expect((await paas.get('site', '/.secret')).status).toBe(404)
  })

  test('can be fetched again, and the clone is what was pushed', async () => {
    const clone = join(paas.base, 'clone')
    await exec('git', ['clone', '-q', 'paas@127.0.0.1:shop', clone], {
      env: { ...paas.env, GIT_SSH_COMMAND: paas.sshCommand.join(' ') },
    })
    await writeFile(join(clone, 'x'), 'x')
    expect((await exec('git', ['status', '--short'], { cwd: clone })).stdout).toBe('?? x\n')
  })

  test('leaves the other apps alone, each on its own name', async () => {
    expect((await paas.get('deep')).body).toBe('deep two')
    expect((await paas.get('site')).body).toBe('<h1>static</h1>')
    expect((await paas.get('nobody')).status).toBe(404)
    const odd = await httpGet({ port: paas.config.httpPort, path: '/', host: '../shop' })
    expect(odd.status).toBeGreaterThanOrEqual(400)
  })

  test('scales, takes more domains, and both show in the reports', async () => {
    const scaled = await paas.ssh(['ps:scale', 'deep', 'web=3'])
    expect(scaled.out).toContain('web=3')
    const processes: { process: string; state: string }[] = JSON.parse(
      (await paas.ssh(['ps', 'deep', '--json'])).stdout,
    )
    expect(processes.map(({ process, state }) => `${process} ${state}`)).toEqual([
      'web.1 running',
      'web.2 running',
      'web.3 running',
    ])
    await paas.ssh(['domains:add', 'deep', 'www.deep.example'])
    expect((await paas.get('deep', '/', 'www.deep.example')).body).toBe('deep two')
    const stolen = await paas.ssh(['domains:add', 'shop', 'www.deep.example'])
    expect(stolen.out).toContain('already belongs to the app "deep"')
    await paas.ssh(['domains:remove', 'deep', 'www.deep.example'])
    const bare = await paas.ssh(['domains:add', 'deep', 'bad'])
    expect([bare.code, bare.stderr]).toEqual([
      2,
      expect.stringMatching(
        /"bad" is not a full domain name\n !     Use a name like bad.example.com/,
      ),
    ])
    expect((await paas.get('deep', '/', 'www.deep.example')).status).toBe(404)
  })
})
