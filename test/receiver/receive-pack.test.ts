import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { gitEnvironment } from '../../receiver/git.ts'
import { type OnPush, receivePack, uploadPack } from '../../receiver/receive-pack.ts'
import { ensureRepo, sweepHalfMade, sweepRepo } from '../../receiver/repo.ts'
import { patience } from '../patience.ts'
import {
  commit,
  gitOverSsh,
  startClient,
  startServer,
  tempDir,
  until,
  workingCopy,
} from './fixture.ts'

const zero = '0'.repeat(40)

describe('git push', () => {
  test('asks before the ref moves, with the pushed objects readable in quarantine', async () => {
    const site = await start(async ({ updates, gitEnv }, say) => {
      const sha = updates[0]?.newSha ?? ''
      const env = { ...gitEnvironment(), ...gitEnv }
      const { stdout } = await exec('git', ['show', `${sha}:hello.txt`], { env })
      say(`-----> The file says ${stdout.trim()}`)
      await expect(
        exec('git', ['--git-dir', site.repo, 'cat-file', '-e', sha], { env: gitEnvironment() }),
      ).rejects.toThrow()
      expect(await refs(site.repo)).toEqual([])
      expect(Object.keys(gitEnv).sort()).toEqual([
        'GIT_ALTERNATE_OBJECT_DIRECTORIES',
        'GIT_DIR',
        'GIT_OBJECT_DIRECTORY',
        'GIT_QUARANTINE_PATH',
      ])
      expect(updates).toEqual([{ ref: 'refs/heads/main', oldSha: zero, newSha: site.head }])
      return 0
    })
    const { code, stderr } = await site.push()
    expect(stderr).toContain('remote: -----> The file says hello')
    expect([code, await refs(site.repo)]).toEqual([0, [`${site.head} refs/heads/main`]])
  })

  test('is refused by any other answer, and leaves ref and objects as they were', async () => {
    const site = await start(async (_push, say) => {
      say(' !     No')
      return 20
    })
    const { code, stderr } = await site.push()
    expect(stderr).toContain('remote:  !     No')
    expect(stderr).toContain('! [remote rejected] main -> main (pre-receive hook declined)')
    expect([code, await refs(site.repo), await leftovers(site.repo)]).toEqual([1, [], []])
  })

  test('is refused by a throw, whose words the pusher reads', async () => {
    const site = await start(async () => {
      throw new Failure('failed', 'The build failed', { hint: 'Look above', details: ['line 1'] })
    })
    const { code, stderr } = await site.push()
    expect(stderr).toMatch(
      /remote: {2}! {5}The build failed *\nremote: {2}! {5}Look above *\nremote: {8}line 1 *\n/,
    )
    expect([code, await refs(site.repo)]).toEqual([1, []])
  })

  test('shows each line when it is said, in order', async () => {
    const next: (() => void)[] = []
    const site = await start(async (_push, say) => {
      for (const line of ['-----> one', '       two', ' !     three']) {
        say(line)
        await new Promise<void>((resolve) => next.push(resolve))
      }
      return 0
    })
    const client = site.startPush()
    let text = ''
    client.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    for (const line of ['-----> one', '       two', ' !     three']) {
      await until(() => text.includes(`remote: ${line}`))
      next.shift()?.()
    }
    await once(client, 'close')
    expect(text.indexOf('one')).toBeLessThan(text.indexOf('two'))
  })

  test('sends something every five seconds while nothing is said', async () => {
    const site = await start(async () => {
      await new Promise((resolve) => setTimeout(resolve, 6500))
      return 0
    })
    const trace = join(site.work, 'trace')
    const pushed = await exec('git', ['-C', site.work, 'push', 'paas', 'main'], {
      env: { ...site.env, GIT_TRACE_PACKET: trace },
    })
    expect(pushed.code).toBe(0)
    const packets = (await readFile(trace, 'utf8')).split('\n')
    expect(packets.filter((line) => line.endsWith('sideband< \\1')).length).toBe(1)
  }, 30_000)

  test('takes a shallow clone', async () => {
    const site = await start(async () => 0)
    await commit(site.work, site.env, 'b.txt', 'b')
    const shallow = await tempDir()
    const clone = ['clone', '-q', '--depth', '1', `file://${site.work}`, shallow]
    await exec('git', clone, { env: site.env })
    await exec('git', ['-C', shallow, 'push', '-q', site.url, 'main'], { env: site.env })
    const { stdout } = await exec('git', ['-C', shallow, 'rev-parse', 'HEAD'], { env: site.env })
    expect(await refs(site.repo)).toEqual([`${stdout.trim()} refs/heads/main`])
  })

  test('deletes a ref only with a yes', async () => {
    let status = 0
    const seen: string[] = []
    const site = await start(async ({ updates }) => {
      seen.push(updates.map((update) => `${update.ref} ${update.newSha === zero}`).join())
      return status
    })
    await site.push('main', 'main:refs/heads/other')
    status = 1
    expect((await site.push('--delete', 'other')).code).toBe(1)
    status = 0
    expect((await site.push('--delete', 'other')).code).toBe(0)
    expect(await refs(site.repo)).toEqual([`${site.head} refs/heads/main`])
    expect(seen.at(-1)).toBe('refs/heads/other true')
  })

  test('tells of 3000 refs at once', async () => {
    let count = 0
    const site = await start(async ({ updates }) => {
      count = updates.length
      return 1
    })
    const many = Array.from({ length: 3000 }, (_, at) => `main:refs/heads/branch-${at}`)
    await site.push(...many)
    expect(count).toBe(3000)
  })

  test('does not ask when there is nothing to push', async () => {
    let asked = 0
    const site = await start(async () => {
      asked += 1
      return 0
    })
    await site.push()
    expect((await site.push()).stderr).toContain('Everything up-to-date')
    expect(asked).toBe(1)
  })

  test('lets two pushes at once ask at once', async () => {
    const both = Promise.withResolvers<void>()
    let asking = 0
    const site = await start(async () => {
      asking += 1
      if (asking === 2) both.resolve()
      await both.promise
      return 0
    })
    const answers = await Promise.all([site.push('main:one'), site.push('main:two')])
    expect(answers.map((answer) => answer.code)).toEqual([0, 0])
    expect((await refs(site.repo)).length).toBe(2)
  })

  test('never runs a hook of the repository or reads its settings over ours', async () => {
    const site = await start(async () => 0)
    const mark = join(site.server.dir, 'ran')
    await mkdir(join(site.repo, 'hooks'), { recursive: true })
    for (const hook of [
      'pre-receive',
      'update',
      'post-receive',
      'post-update',
      'reference-transaction',
    ]) {
      await writeFile(join(site.repo, 'hooks', hook), `#!/bin/sh\ntouch '${mark}'\n`)
      await chmod(join(site.repo, 'hooks', hook), 0o755)
    }
    const own = ['--git-dir', site.repo, 'config']
    await exec('git', [...own, 'core.hooksPath', join(site.repo, 'hooks')])
    await exec('git', [...own, 'receive.denyNonFastForwards', 'true'])
    expect((await site.push()).code).toBe(0)
    await exec('git', ['-C', site.work, 'commit', '-q', '--amend', '-m', 'x'], { env: site.env })
    expect((await site.push('-f', 'main')).code).toBe(0)
    expect(existsSync(mark)).toBe(false)
  })

  test('is refused when our hook cannot be run, which git would pass over', async () => {
    const hooksPath = await tempDir()
    await writeFile(join(hooksPath, 'pre-receive'), '#!/bin/sh\n', { mode: 0o644 })
    const site = await start(async () => 0, { hooksPath })
    const { code, stderr } = await site.push()
    expect(stderr).toContain('pre-receive cannot be run')
    expect([code, await refs(site.repo)]).toEqual([128, []])
  })

  test('is refused when it carries a broken object', async () => {
    const site = await start(async () => 0)
    const tree = await exec('git', ['-C', site.work, 'rev-parse', 'HEAD^{tree}'], { env: site.env })
    const bad = `tree ${tree.stdout.trim()}\nauthor nobody\ncommitter nobody\n\nbroken\n`
    const write = ['-C', site.work, 'hash-object', '-t', 'commit', '-w', '--stdin', '--literally']
    const { stdout } = await exec('git', write, { env: site.env, input: bad })
    const { code, stderr } = await site.push(`${stdout.trim()}:refs/heads/bad`)
    expect(stderr).toMatch(/missingEmail|missingSpaceBeforeEmail|unpacker error/)
    expect([code, await refs(site.repo), await leftovers(site.repo)]).toEqual([1, [], []])
  })

  test('of 40 MB arrives whole', async () => {
    const site = await start(async () => 0)
    await commit(site.work, site.env, 'big', randomBytes(40 * 1024 * 1024))
    expect((await site.push()).code).toBe(0)
    await exec('git', ['--git-dir', site.repo, 'fsck', '--full'])
  })

  test('of a killed client stops what was asked, and leaves no process', async () => {
    const aborted = Promise.withResolvers<unknown>()
    const site = await start(async (_push, _say, signal) => {
      site.asked()
      await once(signal, 'abort')
      aborted.resolve(signal.reason)
      return 1
    })
    const client = site.startPush()
    await site.whenAsked
    expect((await processesOf(site.repo)).length).toBeGreaterThan(0)
    const since = performance.now()
    client.kill('SIGKILL')
    if (client.pid !== undefined) process.kill(-client.pid, 'SIGKILL')
    expect(await aborted.promise).toEqual(new Failure('failed', 'The client disconnected'))
    await until(async () => (await processesOf(site.repo)).length === 0)
    expect(performance.now() - since).toBeLessThan(patience(2000))
    await until(async () => (await leftovers(site.repo)).length === 0)
    expect(await refs(site.repo)).toEqual([])
  })

  test('of a client killed in the middle of its pack leaves nothing either', async () => {
    const site = await start(async () => 0)
    await commit(site.work, site.env, 'big', randomBytes(60 * 1024 * 1024))
    const client = site.startPush()
    await until(async () => (await leftovers(site.repo)).length > 0)
    if (client.pid !== undefined) process.kill(-client.pid, 'SIGKILL')
    await until(async () => (await processesOf(site.repo)).length === 0, patience(2000))
    await until(async () => (await leftovers(site.repo)).length === 0)
  })

  test('still moves the ref for a yes that comes after the client has gone', async () => {
    const site = await start(async (_push, say, signal) => {
      site.asked()
      await once(signal, 'abort')
      for (let line = 0; line < 500; line += 1) say(`line ${line} for nobody`)
      return 0
    })
    const client = site.startPush()
    await site.whenAsked
    if (client.pid !== undefined) process.kill(-client.pid, 'SIGKILL')
    await until(async () => (await refs(site.repo)).length === 1)
    expect(await refs(site.repo)).toEqual([`${site.head} refs/heads/main`])
    await until(async () => (await processesOf(site.repo)).length === 0)
  })

  test('is refused, with nothing left running, when the daemon is killed meanwhile', async () => {
    const site = await start(async () => 0)
    const program = new URL('./fixture-daemon.ts', import.meta.url).pathname
    const hostKey = join(site.server.dir, 'host_keys')
    const daemon = startClient(process.execPath, [program, hostKey, site.repo])
    let said = ''
    daemon.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const port = await until(() => Number(/port (\d+)\n/.exec(said)?.[1]))
    const env = gitOverSsh({ ...site.server, port })
    const push = exec('git', ['-C', site.work, 'push', 'paas', 'main'], { env, accept: [1, 128] })
    await until(() => said.includes('asked'))
    daemon.kill('SIGKILL')
    expect((await push).stderr).toContain('remote: -----> Deciding')
    await until(async () => (await processesOf(site.repo)).length === 0)
    expect(await refs(site.repo)).toEqual([])
    await sweepRepo(site.repo)
    expect(await leftovers(site.repo)).toEqual([])
    expect((await site.push()).code).toBe(0)
  })
})

describe('git fetch', () => {
  test('clones what was pushed', async () => {
    const site = await start(async () => 0)
    await site.push()
    const copy = await tempDir()
    await exec('git', ['clone', '-q', site.url, copy], { env: site.env })
    expect(await readFile(join(copy, 'hello.txt'), 'utf8')).toBe('hello\n')
  })
})

describe('a repository', () => {
  test('is made once, whole, even by several at once', async () => {
    const repo = join(await tempDir(), 'repos', 'shop.git')
    await Promise.all(Array.from({ length: 6 }, () => ensureRepo(repo)))
    await ensureRepo(repo)
    expect(await readFile(join(repo, 'HEAD'), 'utf8')).toBe('ref: refs/heads/main\n')
    expect(await readdir(join(repo, '..'))).toEqual(['shop.git'])
    expect(existsSync(join(repo, 'hooks'))).toBe(false)
  })

  test('is swept of what a kill left, and of nothing else', async () => {
    const site = await start(async () => 0)
    await site.push()
    for (const dir of ['objects/tmp_objdir-incoming-abc/pack', 'objects/pack', 'refs/heads/a']) {
      await mkdir(join(site.repo, dir), { recursive: true })
    }
    const litter = [
      'objects/tmp_objdir-incoming-abc/pack/x.pack',
      'objects/pack/tmp_pack_abc',
      'objects/pack/tmp_idx_abc',
      'refs/heads/main.lock',
      'refs/heads/a/b.lock',
      'packed-refs.lock',
      'shallow.lock',
    ]
    for (const path of litter) await writeFile(join(site.repo, path), '')
    await mkdir(`${site.repo}.new-0123abcd`)
    expect(await sweepRepo(site.repo)).toBe(7)
    expect(await sweepRepo(site.repo)).toBe(0)
    expect(await sweepHalfMade(dirname(site.repo))).toBe(1)
    expect(await leftovers(site.repo)).toEqual([])
    await exec('git', ['--git-dir', site.repo, 'fsck', '--full', '--strict'])
    expect(await refs(site.repo)).toEqual([`${site.head} refs/heads/main`])
  })
})

/** A server with one repository behind it and a working copy whose remote is `paas`. */
async function start(onPush: OnPush, more: { hooksPath?: string } = {}) {
  const base = await tempDir()
  const repo = join(base, 'shop.git')
  await ensureRepo(repo)
  const server = await startServer({
    receivePack: (session) => receivePack({ ...session, repo, onPush, ...more }),
    uploadPack: (session) => uploadPack({ ...session, repo }),
  })
  const env = gitOverSsh(server)
  const work = await workingCopy(env)
  const url = 'paas@127.0.0.1:shop'
  await exec('git', ['-C', work, 'remote', 'add', 'paas', url], { env })
  const { stdout } = await exec('git', ['-C', work, 'rev-parse', 'HEAD'], { env })
  const asked = Promise.withResolvers<void>()
  onTestFinished(async () => {
    await server.close()
    await rm(repo, { recursive: true, force: true })
  })
  const pushArgs = (args: string[]) => ['-C', work, 'push', 'paas', ...(args[0] ? args : ['main'])]
  return {
    ...{ server, repo, env, work, url, head: stdout.trim() },
    asked: asked.resolve,
    whenAsked: asked.promise,
    push: (...args: string[]) => exec('git', pushArgs(args), { env, accept: [0, 1, 128] }),
    startPush: (...args: string[]) => startClient('git', pushArgs(args), env),
  }
}

async function refs(repo: string): Promise<string[]> {
  const format = '--format=%(objectname) %(refname)'
  const { stdout } = await exec('git', ['--git-dir', repo, 'for-each-ref', format])
  return stdout.split('\n').filter((line) => line !== '')
}

async function leftovers(repo: string): Promise<string[]> {
  const names = await readdir(repo, { recursive: true })
  return names.filter((name) => /tmp_|\.lock$/.test(name))
}

/** Processes whose command line names the repository or whose directory it is. */
async function processesOf(repo: string): Promise<string[]> {
  const { stdout } = await exec('ps', ['-eo', 'pid=,args='])
  return stdout.split('\n').filter((line) => line.includes(repo) && !line.includes('ps -eo'))
}
