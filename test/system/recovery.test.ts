import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { kernelNames, paths } from '../../core/names.ts'
import { sendSignal } from '../../core/processes.ts'
import type { Instance } from '../../core/types.ts'
import { patience } from '../patience.ts'
import { cgroupProcesses } from './leaks.ts'
import { startLoad } from './load.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

describe('recovery', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
    await paas.push('blog', await paas.tree('blog', nodeApp('blog')))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const containers = async (app: string) => {
    const { stdout } = await paas.paas(['--json', 'ps', app])
    const processes: { process: string; address: string; state: string }[] = JSON.parse(stdout)
    return processes
  }

  /** The container of a process that was started last. */
  function instance(app: string, name: string): { id: string; pid: number } {
    const { bundles, bundle } = paths(paas.config)
    const all: Instance[] = readdirSync(bundles).map((id) =>
      JSON.parse(readFileSync(join(bundle(id), 'instance.json'), 'utf8')),
    )
    const its = all.filter((one) => one.app === app && one.process === name)
    const [last] = its.sort((a, b) => b.startedAt - a.startedAt)
    if (!last) throw new Error(`${name} of ${app} does not run`)
    return last
  }

  const kill = (app: string, name: string) => process.kill(instance(app, name).pid, 'SIGKILL')

  test('a killed daemon loses no request and takes its containers over', async () => {
    const before = await containers('shop')
    const load = startLoad({
      port: paas.config.httpPort,
      host: `shop.${paas.config.domain}`,
      perSecond: 200,
      keepAlive: true,
    })
    await pause(300)
    await paas.killDaemon()
    await pause(500)
    await paas.startDaemon()
    await pause(300)
    const { lost, sent } = await load.stop()
    expect(sent).toBeGreaterThan(200)
    expect(lost).toEqual([])
    expect((await containers('shop')).map(({ address }) => address)).toEqual(
      before.map(({ address }) => address),
    )
  })

  test('a process that dies is started again', async () => {
    const [before] = await containers('shop')
    const group = kernelNames(paas.config).cgroupParent
    const node = cgroupProcesses(group).find(({ name }) => name === 'node' || name === 'MainThread')
    process.kill(node?.pid ?? -1, 'SIGKILL')
    for (const app of ['shop', 'blog']) {
      await until(`${app} answers`, async () => (await paas.get(app)).status === 200)
    }
    expect(before?.state).toBe('running')
    expect((await paas.ssh(['logs', 'shop'])).out + (await paas.ssh(['logs', 'blog'])).out).toMatch(
      /web\.1 is down \(exit code 137\)/,
    )
  })

  test('after a reboot one start brings every app back', async () => {
    await paas.killDaemon()
    await loseEverythingVolatile(paas)
    await paas.startDaemon()
    for (const app of ['shop', 'blog']) {
      await until(
        `${app} answers`,
        async () => {
          const answer = await paas.get(app).catch(() => undefined)
          return answer?.status === 200 && answer.body === app
        },
        30_000,
      )
    }
    const pushed = await paas.push('shop', await paas.tree('shop', nodeApp('shop again')))
    expect(pushed.out).toContain('Application deployed')
    expect((await paas.get('shop')).body).toBe('shop again')
  })

  test('a killed router comes back by itself with every route', async () => {
    process.kill(caddyPid(paas), 'SIGKILL')
    await until('blog answers', async () => {
      const answer = await paas.get('blog').catch(() => undefined)
      return answer?.body === 'blog'
    })
    const pushed = await paas.push('blog', await paas.tree('blog', nodeApp('blog two')))
    expect(pushed.out).toContain('Application deployed')
  })

  test('a container whose monitor was killed is replaced, and no request is lost', async () => {
    const [before] = await containers('blog')
    const load = startLoad({
      port: paas.config.httpPort,
      host: `blog.${paas.config.domain}`,
      perSecond: 50,
      keepAlive: true,
    })
    for (const pid of conmons(paas)) process.kill(pid, 'SIGKILL')
    await until('another serves', async () => {
      const now = await containers('blog')
      return now.length === 1 && now[0]?.address !== before?.address && now[0]?.state === 'running'
    })
    expect((await load.stop()).lost).toEqual([])
  })

  test('a daemon killed during a restart goes on with the container that was ready', async () => {
    const slow = { listen: 'setTimeout(() => server.listen(process.env.PORT), 1500)' }
    await paas.push('slow', await paas.tree('slow', nodeApp('slow', slow)))
    const load = startLoad({
      port: paas.config.httpPort,
      host: `slow.${paas.config.domain}`,
      perSecond: 50,
      keepAlive: true,
    })
    const restart = paas.ssh(['ps:restart', 'slow'])
    await until('the second starts', async () => (await containers('slow')).length === 2)
    await paas.killDaemon()
    await paas.startDaemon()
    await restart
    await until('one is left', async () => (await containers('slow')).length === 1)
    expect((await load.stop()).lost).toEqual([])
  })

  const states = async () =>
    (await containers('pair')).map(({ process, state }) => `${process} ${state}`)

  /** The address of a process in that state. */
  const find = async (name: string, state: string) =>
    (await containers('pair')).find((one) => one.process === name && one.state === state)?.address

  describe('while one process of an app is slow to be ready', () => {
    const worker = { type: 'startup', command: 'test ! -e /flags/hang' }
    const files = {
      ...nodeApp('pair'),
      'worker.js': 'setInterval(() => {}, 1000)',
      Procfile: 'web: node server.js\nworker: node worker.js\n',
      'app.json': JSON.stringify({
        formation: { worker: { quantity: 1 } },
        healthchecks: { worker: [worker] },
      }),
    }
    /** No worker becomes ready for as long as it is there. */
    let flag = ''
    const hang = () => writeFileSync(flag, '')
    const letGo = () => rmSync(flag, { force: true })

    async function loseWorker(): Promise<void> {
      hang()
      kill('pair', 'worker.1')
      await until('another worker starts', async () =>
        (await states()).includes('worker.1 starting'),
      )
    }

    beforeAll(async () => {
      await paas.push('pair', await paas.tree('pair', files))
      await paas.ssh(['storage:create', 'flags'])
      const mounted = await paas.ssh(['storage:mount', 'pair', 'flags:/flags'])
      expect(mounted.code).toBe(0)
      flag = join(paths(paas.config).storage('flags'), 'hang')
    })

    test('another that dies is started again, and what is scaled meanwhile stays', async () => {
      await loseWorker()
      const [before, slow] = [await find('web.1', 'running'), await find('worker.1', 'starting')]
      kill('pair', 'web.1')
      await until('web.1 runs again', async () => {
        const now = await find('web.1', 'running')
        return now !== undefined && now !== before
      })
      expect((await paas.get('pair')).body).toBe('pair')
      expect(await find('worker.1', 'starting')).toBe(slow)
      const scaling = paas.ssh(['ps:scale', 'pair', 'web=2'])
      await until('web.2 starts', async () => (await states()).includes('web.2 starting'))
      letGo()
      expect((await scaling).code).toBe(0)
      const all = ['web.1 running', 'web.2 running', 'worker.1 running']
      await until('one of each is left', async () => (await states()).join() === all.join())
    })

    test('it is stopped, and does not come back when it would be ready', async () => {
      const ups = () => paas.daemonLog().match(/ app=pair text="\S+ is up/g)?.length ?? 0
      const before = ups()
      expect(before).toBeGreaterThan(0)
      await loseWorker()
      expect((await paas.ssh(['ps:stop', 'pair', 'worker'])).code).toBe(0)
      letGo()
      await until('it is gone', async () => {
        const workers = (await states()).filter((one) => one.startsWith('worker'))
        return workers.join() === 'worker.1 stopped'
      })
      expect(ups()).toBe(before)
    })

    test('a change of it keeps what took the place of another that died meanwhile', async () => {
      hang()
      const scaling = paas.ssh(['ps:scale', 'pair', 'web=1', 'worker=1'])
      await until('the worker starts', async () => (await states()).includes('worker.1 starting'))
      const before = await find('web.1', 'running')
      kill('pair', 'web.1')
      let after: string | undefined
      await until('web.1 runs again', async () => {
        after = await find('web.1', 'running')
        return after !== undefined && after !== before
      })
      letGo()
      expect((await scaling).code).toBe(0)
      expect((await paas.get('pair')).body).toBe('pair')
      expect(await find('web.1', 'running')).toBe(after)
    })
  })

  test('a container that could not be removed is removed when it can be', async () => {
    const { id } = instance('pair', 'worker.1')
    const blocker = join(paths(paas.config).scratch(id), 'blocker')
    mkdirSync(blocker)
    await exec('mount', ['-t', 'tmpfs', 'blocker', blocker])
    try {
      await paas.ssh(['ps:stop', 'pair', 'worker'])
      await until('the removal fails', () => /retire-failed .*EBUSY/.test(paas.daemonLog()))
      expect(existsSync(paths(paas.config).bundle(id))).toBe(true)
    } finally {
      await exec('umount', [blocker])
    }
    await until('it is gone', () => !existsSync(paths(paas.config).bundle(id)), patience(5000))
    expect((await containers('pair')).some(({ state }) => state === 'retiring')).toBe(false)
  })

  test('a router that does not answer keeps no process from starting', async () => {
    const [before] = await containers('blog')
    process.kill(caddyPid(paas), 'SIGSTOP')
    try {
      kill('blog', 'web.1')
      await until(
        'it runs again',
        async () => {
          const [now] = await containers('blog')
          return now?.state === 'running' && now.address !== before?.address
        },
        patience(3000),
      )
    } finally {
      process.kill(caddyPid(paas), 'SIGCONT')
    }
    await until('blog answers', async () => (await paas.get('blog')).status === 200, 10_000)
  })

  test('a flushed firewall and a half-written leftover are mended at the next start', async () => {
    const { nftTable } = kernelNames(paas.config)
    const { bundles, routes } = paths(paas.config)
    await exec('nft', ['delete', 'table', 'inet', nftTable])
    mkdirSync(join(bundles, 'aaaaaaaaaaaa'))
    writeFileSync(join(bundles, 'aaaaaaaaaaaa', 'instance.json'), '{ "id": ')
    mkdirSync(join(routes, 'a', 'NOPE'))
    await paas.killDaemon()
    await paas.startDaemon()
    expect((await exec('nft', ['list', 'tables'])).stdout).toContain(` ${nftTable}\n`)
    expect(existsSync(join(bundles, 'aaaaaaaaaaaa'))).toBe(false)
    expect((await paas.get('blog')).status).toBe(200)
  })
})

function caddyPid(paas: Paas): number {
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((pid) => commandLine(pid).some((word) => word.startsWith(paths(paas.config).caddy)))
  return Number(found)
}

/** What a power cut takes: every process, mount, namespace, cgroup and file on tmpfs. */
async function loseEverythingVolatile(paas: Paas): Promise<void> {
  const { run, bundles } = paths(paas.config)
  const { bridge, cgroupParent, nftTable } = kernelNames(paas.config)
  process.kill(caddyPid(paas), 'SIGKILL')
  for (const pid of conmons(paas)) sendSignal(pid, 'SIGKILL')
  for (const { pid } of cgroupProcesses(cgroupParent)) sendSignal(pid, 'SIGKILL')
  await until('all processes are gone', () => cgroupProcesses(cgroupParent).length === 0)
  const mounts = (await exec('findmnt', ['-rno', 'TARGET'])).stdout.split('\n')
  for (const mount of mounts.filter((one) => one.startsWith(run)))
    await exec('umount', ['-l', mount])
  await exec('ip', ['link', 'delete', bridge])
  await exec('nft', ['delete', 'table', 'inet', nftTable])
  await exec('find', [
    '/sys/fs/cgroup',
    '-depth',
    '-path',
    `*${cgroupParent}*`,
    '-type',
    'd',
    '-delete',
  ])
  expect(bundles.startsWith(run)).toBe(true)
  rmSync(run, { recursive: true, force: true })
}

function conmons(paas: Paas): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const words = commandLine(pid)
      return words[0]?.endsWith('conmon') && words.some((word) => word.startsWith(paas.config.run))
    })
    .map(Number)
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

describe('a run directory that was removed by hand while the router lives', () => {
  test('is no hindrance to the next start, and none to the end', async () => {
    await using end = new AsyncDisposableStack()
    const paas = end.use(await startPaas())
    const forget = async () => {
      await paas.killDaemon()
      expect(readdirSync(paths(paas.config).idmaps)).toEqual([]) // no file of an app shows there
      rmSync(paas.config.run, { recursive: true })
    }
    await forget()
    await paas.startDaemon()
    expect((await paas.get('nothing')).status).toBe(404)
    await forget()
    expect(await paas.down()).toMatchObject({ code: 0 })
    await expect(paas.get('nothing')).rejects.toThrow('ECONNREFUSED')
  })
})
