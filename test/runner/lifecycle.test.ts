import { mkdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { defaultLimits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Exit, Instance, InstanceSpec } from '../../core/types.ts'
import { type Check, drained, waitUntilReady } from '../../runner/health.ts'
import { tailLogs } from '../../runner/logs.ts'
import { listInstances, sweepOrphans, watchExits } from '../../runner/observe.ts'
import { startInstance } from '../../runner/start.ts'
import { stopInstance } from '../../runner/stop.ts'
import { patience } from '../patience.ts'
import { never, node, openTestHost, server, type TestHost, traces, until } from './fixture.ts'

let t: TestHost

beforeAll(async () => void (t = await openTestHost()))
afterAll(() => t[Symbol.asyncDispose]())
afterEach(async () => {
  await sweepOrphans(t.host, new Set())
  const left = traces(t.config)
  expect(left.filter((line) => !line.includes('/idmaps/'))).toEqual([])
})

const web = { port: 5000 }

async function ready(instance: Instance, check: Check = web, timeoutMs = 5000) {
  const warnings: string[] = []
  const warn = (line: string) => void warnings.push(line)
  const error = await waitUntilReady(t.host, instance, check, {
    timeoutMs,
    signal: never,
    warn,
  }).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error !== undefined && !(error instanceof Failure)) throw error
  return { error, warnings }
}

describe('waiting until ready', () => {
  test('ends as soon as the port accepts', async () => {
    const instance = await t.start(server())
    expect((await ready(instance)).error).toBeUndefined()
  })

  test('names the port an app listens on instead', async () => {
    const instance = await t.start(server({ port: 3000 }))
    const { error, warnings } = await ready(instance, web, 2500)
    expect(error?.message).toBe('web listens on port 3000, not on $PORT (5000)')
    expect(warnings).toHaveLength(1)
  })

  test('names an address that nobody else can reach', async () => {
    const instance = await t.start(server({ host: '127.0.0.1' }))
    const { error } = await ready(instance, web, 2500)
    expect(error?.message).toBe(
      'web listens on 127.0.0.1:5000, which only the app itself can reach; it must listen on 0.0.0.0',
    )
  })

  test('says what was tried and seen when nothing listens', async () => {
    const instance = await t.start(node('console.log("busy"); setInterval(() => {}, 1000)'))
    await until('it says so', async () => {
      const { lines } = await tailLogs(paths(t.config).logs('shop'), { lines: 1000 })
      return lines.some(({ text }) => text === 'busy')
    })
    const { error } = await ready(instance, web, 300)
    expect(error?.message).toBe(
      'web did not answer on port 5000 within 0.3 s (last: connection refused)',
    )
    expect(error?.hint).toBe('Its only log line follows; more with: logs shop --release v1')
    expect(error?.details).toEqual(['busy'])
  })

  test('ends at once when the app has crashed, with its last words', async () => {
    const script = 'for (let i = 1; i <= 30; i++) console.log("line " + i); process.exit(3)'
    const instance = await t.start(node(script))
    const began = performance.now()
    const { error } = await ready(instance, web, 60_000)
    expect(performance.now() - began).toBeLessThan(30_000)
    expect(error?.message).toBe('web exited with code 3 before it answered on port 5000')
    expect(error?.hint).toBe('Its last 20 log lines follow; more with: logs shop --release v1')
    expect(error?.details.at(-1)).toBe('line 30')
  })

  test('names a signal, and memory that ran out with its limit', async () => {
    const killed = await t.start(node('process.kill(process.pid, "SIGABRT")'))
    expect((await ready(killed)).error?.message).toBe(
      'web was killed by signal SIGABRT before it answered on port 5000',
    )
    const limits = { ...defaultLimits, memoryBytes: 64 * 1024 * 1024 }
    const hungry = node('const all = []; for (;;) all.push(Buffer.alloc(1e6, 1))')
    expect((await ready(await t.start(hungry, { limits }))).error?.message).toBe(
      'web ran out of memory: it was killed at its limit of 64 MiB',
    )
  })

  test('is, for a worker, staying up', async () => {
    const process = 'worker.1'
    const good = await t.start(node('setInterval(() => {}, 1000)'), { process })
    expect((await ready(good, { uptimeMs: 300 })).error).toBeUndefined()
    // Not Node: on a busy machine its start alone may take a second.
    const bad = await t.start(['sh', '-c', 'exit 1'], { process })
    expect((await ready(bad, { uptimeMs: 1000 })).error?.message).toBe(
      'worker exited with code 1 within 1 s of its start',
    )
  })
})

describe('stopping', () => {
  test('lets an app leave in peace', async () => {
    const instance = await t.start(server())
    await ready(instance)
    const began = performance.now()
    await stopInstance(t.host, instance.id, { graceMs: 60_000 })
    expect(performance.now() - began).toBeLessThan(30_000)
  })

  test('kills one that will not, after its grace', async () => {
    const instance = await t.start(
      server({
        rest: 'process.on("SIGTERM", () => {}).removeAllListeners("SIGTERM"); process.on("SIGTERM", () => {})',
      }),
    )
    await ready(instance)
    const began = performance.now()
    await stopInstance(t.host, instance.id, { graceMs: 300 })
    expect(performance.now() - began).toBeGreaterThan(290)
    expect(performance.now() - began).toBeLessThan(patience(1500))
  })

  test('may be repeated, and asked of what never was', async () => {
    const instance = await t.start(server())
    await stopInstance(t.host, instance.id, { graceMs: 1000 })
    await stopInstance(t.host, instance.id, { graceMs: 1000 })
    await stopInstance(t.host, '000000000001', { graceMs: 1000 })
  })

  test('waits for open connections first', async () => {
    const instance = await t.start(server())
    await ready(instance)
    const socket = connect(5000, instance.address)
    await new Promise((resolve) => socket.once('connect', resolve))
    const began = performance.now()
    setTimeout(() => socket.destroy(), 300)
    await drained(instance, 60_000)
    expect(performance.now() - began).toBeGreaterThan(290)
    expect(performance.now() - began).toBeLessThan(30_000)
    const open = connect(5000, instance.address)
    await new Promise((resolve) => open.once('connect', resolve))
    await drained(instance, 200)
    open.destroy()
  })
})

test('a start that is cancelled at any moment leaves nothing', async () => {
  for (const afterMs of [0, 2, 5, 10, 15, 20, 30, 40]) {
    const abort = new AbortController()
    setTimeout(() => abort.abort(), afterMs)
    const started = startInstance(t.host, t.spec(['sleep', '1000']), abort.signal)
    const instance = await started.catch(() => undefined)
    if (instance) await stopInstance(t.host, instance.id, { graceMs: 0 })
    expect(traces(t.config).filter((line) => !line.includes('/idmaps/'))).toEqual([])
  }
})

test('a start that fails says why and leaves nothing', async () => {
  const layers = [{ kind: 'app' as const, key: 'gone', label: 'app 1a2b3c4' }]
  await expect(t.start(['true'], { layers })).rejects.toThrow('A layer of shop is missing')
})

describe('a daemon that is killed', () => {
  test('leaves its apps running, for the next to find, with the exits nobody saw', async () => {
    const specs = [t.spec(server()), t.spec(server())]
    await killedDaemon(specs, [])
    const found = await listInstances(t.host)
    expect(found.map(({ id, alive }) => ({ id, alive }))).toEqual(
      specs.map(({ id }) => ({ id, alive: true })).toReversed(), // the newest first
    )
    const [first, second] = found
    if (!first || !second) throw new Error('Two were started')
    expect((await ready(first)).error).toBeUndefined()
    process.kill(first.pid, 'SIGTERM')
    await until('it is gone', async () => {
      return (await listInstances(t.host)).some(({ alive }) => !alive)
    })
    const exits = new Map<string, Exit>()
    using watching = new DisposableStack()
    watching.use(watchExits(t.host, (exit) => void exits.set(exit.id, exit)))
    await until('its exit is told', () => exits.size > 0)
    expect([...exits.values()]).toMatchObject([{ id: first.id, code: 0, oom: false }])
    process.kill(second.pid, 'SIGKILL')
    await until('the other is told', () => exits.size > 1)
    expect(exits.get(second.id)).toMatchObject({ code: 137, oom: false })
  })

  test('leaves nothing that a sweep does not remove, builds included', async () => {
    const kept = t.spec(server())
    const build = t.spec(node('console.log("building"); setInterval(() => {}, 1000)'), {
      kind: 'build',
    })
    await killedDaemon([kept, t.spec(server())], [build], 'building')
    const removed = await sweepOrphans(t.host, new Set([kept.id]))
    expect(removed).toHaveLength(2)
    expect(await listInstances(t.host)).toMatchObject([{ id: kept.id, alive: true }])
  })

  test('at any moment of a start leaves nothing that a sweep does not remove', async () => {
    for (const afterMs of [5, 10, 15, 20, 25, 30, 35, 40, 50, 60]) {
      await killedDaemon([t.spec(['sleep', '1000'])], [], 'open', afterMs)
      await sweepOrphans(t.host, new Set())
      expect(traces(t.config).filter((line) => !line.includes('/idmaps/'))).toEqual([])
    }
  })
})

test('what a reboot left on disk is removed at once', async () => {
  const started = await Promise.all([t.start(server()), t.start(server())])
  for (const { id, pid } of started) {
    process.kill(
      Number(readFileSync(`${paths(t.config).bundle(id)}/monitor.pid`, 'utf8')),
      'SIGKILL',
    )
    process.kill(pid, 'SIGKILL')
  }
  await until('they are gone', async () => (await listInstances(t.host)).every((one) => !one.alive))
  const began = performance.now()
  expect(await sweepOrphans(t.host, new Set())).toHaveLength(2)
  expect(performance.now() - began).toBeLessThan(patience(5000))
})

test('a leftover that cannot be removed does not keep the others, nor a daemon that starts', async () => {
  const started = await Promise.all([t.start(server()), t.start(server())])
  const [stuck, other] = started.map(({ id }) => id)
  const busy = join(paths(t.config).bundle(stuck ?? ''), 'busy')
  mkdirSync(busy)
  await exec('mount', ['-t', 'tmpfs', 'none', busy])
  try {
    expect(await sweepOrphans(t.host, new Set())).toEqual([other])
  } finally {
    await exec('umount', [busy])
  }
  expect(await sweepOrphans(t.host, new Set())).toEqual([stuck])
})

test('a monitor that is killed does not hide the end of its container', async () => {
  const instance = await t.start(server())
  const file = `${paths(t.config).bundle(instance.id)}/monitor.pid`
  process.kill(Number(readFileSync(file, 'utf8')), 'SIGKILL')
  const began = performance.now()
  await stopInstance(t.host, instance.id, { graceMs: 60_000 })
  expect(performance.now() - began).toBeLessThan(30_000)
})

async function killedDaemon(
  started: InstanceSpec[],
  attached: InstanceSpec[],
  line = 'started',
  afterMs = 0,
): Promise<void> {
  const program = new URL('programs/daemon.ts', import.meta.url).pathname
  const root = t.config.home.replace(/\/home$/, '')
  const specs = [started, attached].map((some) => JSON.stringify(some))
  const args = [program, root, t.config.subnet, ...specs]
  const daemon = spawnGroup(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  daemon.stdout?.on('data', (text) => void (said += String(text)))
  try {
    await until(`the daemon says "${line}"`, () => said.split('\n').includes(line))
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    daemon.kill('SIGKILL')
    await until('it is dead', () => daemon.signalCode !== null)
  } finally {
    await killGroup(daemon, 0)
  }
}
