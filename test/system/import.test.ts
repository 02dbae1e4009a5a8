import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { freePort } from '../ports.ts'
import { commitTree, nodeApp, type Paas, startPaas } from './instance.ts'

describe('code that does not come by a push', () => {
  const end = new AsyncDisposableStack()
  let paas: Paas
  beforeAll(async () => {
    paas = end.use(await startPaas())
    await paas.ssh(['apps:create', 'shop'])
  })
  afterAll(() => end.disposeAsync())

  const head = async (app: string) => {
    const repo = paths(paas.config).repo(app)
    const { stdout } = await exec('git', ['--git-dir', repo, 'log', '--format=%H %s', 'main'])
    return stdout.trim().split('\n')
  }

  /** A tar.gz of these files. */
  async function archive(name: string, files: Record<string, string>): Promise<string> {
    const dir = await paas.tree(name, files)
    const file = join(paas.base, `${name}.tar.gz`)
    await exec('git', ['archive', '--format=tar.gz', `--prefix=${name}/`, '-o', file, 'HEAD'], {
      cwd: dir,
    })
    return file
  }

  /** As ssh gives a file: through a pipe, byte for byte. */
  const send = (file: string, args: string[]) => {
    const ssh = [...paas.sshCommand, 'paas@127.0.0.1', ...args].map((word) => `'${word}'`)
    return exec('sh', ['-c', `exec ${ssh.join(' ')} <'${file}'`], {
      accept: Array.from({ length: 256 }, (_, code) => code),
      timeoutMs: 60_000,
    })
  }

  test('is deployed from an archive on standard input, as a commit', async () => {
    const sent = await send(await archive('one', nodeApp('one')), [
      'git:from-archive',
      'shop',
      '--',
    ])
    expect(sent).toMatchObject({ code: 0 })
    expect(sent.stdout).toMatch(/All of it lies in one\/[^]*-----> Building shop[^]*deployed:/)
    expect((await paas.get('shop')).body).toBe('one')
    expect(await head('shop')).toEqual([expect.stringMatching(/Archive$/)])
  })

  test('is not waited for at a terminal', async () => {
    const ssh = [...paas.sshCommand.slice(1), '-tt', 'paas@127.0.0.1', 'git:from-archive', 'shop']
    const { stdout, stderr } = await exec('ssh', ssh, { accept: [2], timeoutMs: 10_000 })
    expect(stdout + stderr).toContain('git:from-archive reads an archive from standard input')
  })

  test('is deployed from an address, upon what was there', async () => {
    const file = await archive('two', nodeApp('two'))
    const port = await freePort()
    const server: Server = createServer((request, response) => {
      if (request.url === '/moved') response.writeHead(302, { location: '/two.tar.gz' }).end()
      else if (request.url === '/two.tar.gz') response.end(readFileSync(file))
      else response.writeHead(404).end()
    }).listen(port, '127.0.0.1')
    using closing = { [Symbol.dispose]: () => server.close() }
    void closing
    const from = (path: string) =>
      paas.ssh(['git:from-archive', 'shop', `http://me:secret@127.0.0.1:${port}${path}`])
    expect((await from('/moved')).code).toBe(0)
    expect((await paas.get('shop')).body).toBe('two')
    expect(await head('shop')).toHaveLength(2)
    const again = await from('/two.tar.gz')
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('nothing has changed')])
    const lost = await from('/lost')
    expect([lost.code, lost.stderr]).toEqual([1, expect.stringContaining('answered 404')])
    expect(lost.stderr).not.toContain('secret')
  })

  test('that does not build moves nothing and leaves nothing', async () => {
    const before = await head('shop')
    const files = { 'package.json': JSON.stringify({ scripts: { build: 'exit 3', start: 'x' } }) }
    const sent = await send(await archive('bad', files), ['git:from-archive', 'shop'])
    expect(sent.code).toBe(1)
    expect(sent.stderr).toContain('"npm run build" exited with 3')
    expect(sent.stdout + sent.stderr).not.toContain('git did not take')
    expect((await paas.get('shop')).body).toBe('two')
    expect(await head('shop')).toEqual(before)
    expect(readdirSync(paths(paas.config).making)).toEqual([])
    expect((await paas.ssh(['builds', 'shop'])).stdout).toMatch(/#3 +failed/)
  })

  test('comes upon a shallow clone as upon a whole one', async () => {
    const dir = await paas.tree('deep', nodeApp('deep 1'))
    await commitTree(dir, nodeApp('deep 2'))
    const clone = join(paas.base, 'shallow')
    await exec('git', ['clone', '-q', '--depth=1', `file://${dir}`, clone])
    expect(await paas.push('deep', clone)).toMatchObject({ code: 0 })
    const sent = await send(await archive('deep3', nodeApp('deep 3')), ['git:from-archive', 'deep'])
    expect([sent.code, sent.stderr]).toEqual([0, ''])
    expect((await paas.get('deep')).body).toBe('deep 3')
    expect(await head('deep')).toHaveLength(2)
  })

  test('is fetched over ssh by a key of our own, and no other way', async () => {
    const dir = await paas.tree('origin', nodeApp('from origin'))
    await exec('git', ['tag', 'v1'], { cwd: dir })
    await paas.push('origin', dir)
    const address = `ssh://paas@127.0.0.1:${paas.config.sshPort}/origin`
    const unknown = await paas.ssh(['git:sync', 'copy', address])
    expect(unknown.code).toBe(20)
    await paas.ssh(['apps:create', 'copy'])
    const closed = await paas.ssh(['git:sync', 'copy', address])
    expect(closed.stderr).toMatch(/could not be fetched[^]*git:public-key/)
    const { stdout: key } = await paas.ssh(['git:public-key'])
    await paas.ssh(['keys:add', 'deploy'], key)
    const synced = await paas.ssh(['git:sync', 'copy', address])
    expect([synced.code, synced.stderr]).toEqual([0, ''])
    expect((await paas.get('copy')).body).toBe('from origin')
    expect(await head('copy')).toEqual(await head('origin'))

    await paas.push('origin', await commitTree(dir, nodeApp('newer')), ['HEAD:refs/heads/main'])
    expect((await paas.ssh(['git:sync', 'copy', address, 'main'])).code).toBe(0)
    expect((await paas.get('copy')).body).toBe('newer')
    const same = await paas.ssh(['git:sync', 'copy', address])
    expect(same.stdout).toContain('nothing has changed')
    const none = await paas.ssh(['git:sync', 'copy', address, 'no-such-branch'])
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('no-such-branch')])
    const local = await paas.ssh(['git:sync', 'copy', paths(paas.config).repo('shop')])
    expect([local.code, local.stderr]).toEqual([2, expect.stringContaining('is not fetched')])
    expect(readdirSync(paths(paas.config).making)).toEqual([])
  })

  test('has its submodules fetched, theirs too, and shares them when they stay', async () => {
    const server = `ssh://paas@127.0.0.1:${paas.config.sshPort}`
    /** A tree with one submodule, at this commit of another app. */
    const withModule = async (
      name: string,
      module: string,
      files: Record<string, string>,
      beside = server,
    ) => {
      const dir = await paas.tree(name, {
        ...files,
        '.gitmodules': `[submodule "x"]\n\tpath = lib\n\turl = ${beside}/${module}\n`,
      })
      const [commit = ''] = (await head(module))[0]?.split(' ') ?? []
      const link = ['update-index', '--add', '--cacheinfo', `160000,${commit},lib`]
      await exec('git', link, { cwd: dir })
      await exec('git', ['-c', 'user.name=T', '-c', 'user.email=t@t', 'commit', '-qm', 'lib'], {
        cwd: dir,
      })
      return dir
    }
    await paas.push('inner', await paas.tree('inner', { 'index.html': 'innermost' }))
    await paas.push('middle', await withModule('middle', 'inner', { 'index.html': 'middle' }))
    const require = `const deep = require('node:fs').readFileSync('lib/lib/index.html', 'utf8')`
    const files = nodeApp('v1', { before: `${require}\nconsole.log('read ' + deep)` })
    const outer = await withModule('outer', 'middle', files)
    const pushed = await paas.push('outer', outer)
    expect(pushed).toMatchObject({ code: 0 })
    expect((await paas.ssh(['logs', 'outer'])).stdout).toContain('read innermost')

    const sibling = await withModule('sibling', 'middle', files, '..')
    const alone = await paas.push('sibling', sibling)
    expect(alone.out).toMatch(
      /lib is a git submodule without its files: its address is "..\/middle"/,
    )
    const store = paths(paas.config).repo('outer')
    await exec('git', ['push', '-q', store, 'HEAD:refs/heads/relative'], { cwd: sibling })
    await paas.ssh(['apps:create', 'synced'])
    const synced = await paas.ssh(['git:sync', 'synced', `${server}/outer`, 'relative'])
    expect([synced.code, synced.out]).toEqual([0, expect.stringContaining('deployed')])
    expect((await paas.ssh(['logs', 'synced'])).stdout).toContain('read innermost')

    const lost = await paas.tree('lost', {
      ...nodeApp('lost'),
      '.gitmodules': `[submodule "x"]\n\tpath = lib\n\turl = ${server}/nothing\n`,
    })
    const link = ['update-index', '--add', '--cacheinfo', `160000,${'a'.repeat(40)},lib`]
    await exec('git', link, { cwd: lost })
    const author = ['-c', 'user.name=T', '-c', 'user.email=t@t']
    await exec('git', [...author, 'commit', '-qm', 'lib'], { cwd: lost })
    const refused = await paas.push('lost', lost)
    expect(refused.out).toMatch(/lib is a git submodule without its files: ssh:.*\/nothing could/)
    expect(readdirSync(paths(paas.config).making)).toEqual([])
  })
})
