import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { HealthCheck, Probe } from '../../core/app-json.ts'
import { kernelNames } from '../../core/names.ts'
import type { Instance } from '../../core/types.ts'
import { longestChecks } from '../../runner/checks.ts'
import { waitUntilReady } from '../../runner/health.ts'
import { sweepOrphans } from '../../runner/observe.ts'
import { describeProbe, probe } from '../../runner/probe.ts'
import { cgroupProcesses } from '../system/leaks.ts'
import { never, node, openTestHost, type TestHost, until } from './fixture.ts'

let t: TestHost
let instance: Instance

const answers = node(`
  const began = Date.now()
  require('node:http').createServer((request, answer) => {
    const path = request.url
    if (path === '/hang') return
    if (path === '/later') answer.statusCode = Date.now() - began < 700 ? 503 : 204
    else answer.statusCode = Number(path.slice(1)) || 200
    answer.setHeader('location', '/500')
    answer.end('x'.repeat(100000))
  }).listen(5000)
`)

beforeAll(async () => void (t = await openTestHost()))
afterEach(() => sweepOrphans(t.host, new Set()))
afterAll(() => t[Symbol.asyncDispose]())

async function started(): Promise<Instance> {
  instance = await t.start(answers)
  await waitUntilReady(t.host, instance, { port: 5000 }, { timeoutMs: 60_000, signal: never, warn })
  return instance
}

const warn = () => {}

const ask = (asked: Probe, timeoutMs = 30_000, signal = never) =>
  probe(t.host, instance, { probe: asked, timeoutMs }, signal)

const get = (path: string, timeoutMs?: number) => ask({ kind: 'path', path, port: 5000 }, timeoutMs)

const run = (argv: string[], timeoutMs?: number) => ask({ kind: 'command', argv }, timeoutMs)

describe('a probe', () => {
  test('of a path is good from 200 to 399, and says what else came', async () => {
    await started()
    expect(await get('/200')).toBeUndefined()
    expect(await get('/302')).toBeUndefined()
    expect(await get('/404')).toBe('answered 404')
    expect(await get('/500')).toBe('answered 500')
    expect(await get('/hang', 200)).toBe('no answer within 0.2 s')
    expect(await ask({ kind: 'path', path: '/', port: 1 })).toBe('connection refused')
  })

  test('of a port says whether something listens', async () => {
    await started()
    expect(await ask({ kind: 'listening', port: 5000 })).toBeUndefined()
    expect(await ask({ kind: 'listening', port: 5001 })).toBe('connection refused')
  })

  test('without a port asks that of its process', async () => {
    await started()
    const path: Probe = { kind: 'path', path: '/200' }
    expect([await ask(path), await ask({ kind: 'listening' })]).toEqual([undefined, undefined])
    instance = { ...instance, port: 5001 }
    expect([await ask(path), await ask({ kind: 'listening' })]).toEqual(
      Array.from({ length: 2 }, () => 'connection refused'),
    )
  })

  test('by a command runs it inside, as the user of the app and with its environment', async () => {
    instance = await t.start(node('setInterval(() => {}, 1000)'), { env: { COLOR: 'red' } })
    const script = `
      const { getuid, env, cwd } = process
      console.log(getuid(), env.COLOR, cwd())
      process.exit(7)`
    expect(await run(node(script))).toBe('exited with code 7: 32767 red /app')
    expect(await run(['true'])).toBeUndefined()
    expect(await run(['sh', '-c', 'exit 3'])).toBe('exited with code 3')
    expect(await run(['no-such-program'])).toMatch(/^exited with code \d+: .*no-such-program/)
  })

  test('by a command may not do more than the app itself', async () => {
    instance = await t.start(node('setInterval(() => {}, 1000)'))
    const status = await run([
      'sh',
      '-c',
      'while read -r a; do case $a in CapEff*|NoNewPrivs*) echo $a;; esac; done < /proc/self/status | { read x; read y; echo $x $y; }; exit 1',
    ])
    expect(status).toBe('exited with code 1: CapEff: 0000000000000000 NoNewPrivs: 1')
    expect(await run(['unshare', '--user', 'true'])).toContain('exited with code')
  })

  test('by a command that is late ends it and whatever it started, and the app lives', async () => {
    instance = await t.start(node('setInterval(() => {}, 1000)'))
    const group = kernelNames(t.config).cgroup(instance.id)
    const left = () =>
      cgroupProcesses(group)
        .map(({ name }) => name)
        .filter((name) => ['sh', 'sleep', 'runc:[2:INIT]'].includes(name))
    const script = 'trap "" TERM; sleep 60 & sleep 60'
    expect(await run(['sh', '-c', script], 400)).toBe('did not end within 0.4 s')
    await until('all of it is gone', () => left().length === 0)
    const background = await run(['sh', '-c', 'sleep 60 > /dev/null 2>&1 & exit 0'])
    expect(background).toBeUndefined()
    await until('its child is gone', () => left().length === 0)
  })

  test('by a command that is late before the runtime has told of it ends it too', async () => {
    instance = await t.start(node('setInterval(() => {}, 1000)'))
    const slow = join(dirname(t.config.home), 'slow-runc')
    // As on a busy machine: the program runs, and its number comes long after the deadline.
    const script = `#!/bin/bash
trap '' TERM
words=("$@")
for at in "\${!words[@]}"; do
  [ "\${words[$at]}" = --pid-file ] && file=\${words[$at + 1]} && words[$at + 1]=$file.late
done
(until [ -s $file.late ]; do sleep 0.01; done; sleep 2; mv $file.late $file) &
exec ${t.host.programs.runc()} "\${words[@]}"
`
    await writeFile(slow, script, { mode: 0o755 })
    const host = { ...t.host, programs: { ...t.host.programs, runc: () => slow } }
    const argv = ['sh', '-c', 'trap "" TERM; sleep 60; exit 0']
    const asked = { probe: { kind: 'command', argv } as const, timeoutMs: 400 }
    expect(await probe(host, instance, asked, never)).toBe('did not end within 0.4 s')
    await until('it is gone', () => {
      return cgroupProcesses(kernelNames(t.config).cgroup(instance.id)).every(
        ({ name }) => name !== 'sleep',
      )
    })
  })

  test('of an uptime waits for it, and ends with its signal', async () => {
    instance = await t.start(node('setInterval(() => {}, 1000)'))
    expect(await ask({ kind: 'uptime', uptimeMs: 300 })).toBeUndefined()
    expect(Date.now() - instance.startedAt).toBeGreaterThanOrEqual(300)
    expect(await ask({ kind: 'uptime', uptimeMs: 60_000 }, 1, AbortSignal.timeout(50))).toBe(
      undefined,
    )
  })
})

const check = (asked: Probe, more: Partial<HealthCheck> = {}): HealthCheck => ({
  type: 'readiness',
  probe: asked,
  attempts: 3,
  timeoutMs: 1000,
  initialDelayMs: 0,
  ...more,
})
const path = (name: string): Probe => ({ kind: 'path', path: name })

const passed = (checks: HealthCheck[], timeoutMs: number, signal = never) =>
  waitUntilReady(t.host, instance, { checks }, { timeoutMs, signal, warn }).then(
    () => 'ready',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )

describe('checks', () => {
  test('are polled until good', async () => {
    await started()
    expect(await passed([check(path('/later'))], 60_000)).toBe('ready')
  })

  test('ask the startup ones first', async () => {
    await started()
    const both = [
      check(path('/500'), { waitMs: 1, attempts: 1 }),
      check(path('/404'), { type: 'startup', waitMs: 1, attempts: 2 }),
    ]
    expect(await passed(both, 60_000)).toMatch(
      /^web failed its startup check \(GET \/404: answered 404, 2 tries in \d+\.\d s\)$/,
    )
  })

  test('end at the deadline', async () => {
    await started()
    expect(await passed([check(path('/503'))], 300)).toMatch(
      /^web failed its readiness check \(GET \/503: answered 503, \d+ tries in \d+\.\d s\)$/,
    )
  })

  test('end with the container, and with whoever waits', async () => {
    instance = await t.start(node('setTimeout(() => process.exit(5), 300)'))
    const long = [check({ kind: 'uptime', uptimeMs: 60_000 })]
    expect(await passed(long, 60_000)).toBe(
      'web exited with code 5 before it passed its health checks',
    )
    await started()
    expect(await passed(long, 60_000, AbortSignal.timeout(100))).toBe('Cancelled')
  })

  test('may take as long as they say themselves', () => {
    const slow = check(path('/'), { initialDelayMs: 10, attempts: 2, waitMs: 100, timeoutMs: 5 })
    const uptime = check({ kind: 'uptime', uptimeMs: 1000 }, { timeoutMs: 5 })
    expect(longestChecks([slow, uptime], 20)).toBe(20 + 10 + 5 + 210 + 1000 + 5)
  })

  test('are named as a person would', () => {
    expect(describeProbe(path('/health'))).toBe('GET /health')
    expect(describeProbe({ kind: 'path', path: '/', port: 80 })).toBe('GET / on port 80')
    expect(describeProbe({ kind: 'listening' })).toBe('port $PORT')
    expect(describeProbe({ kind: 'command', argv: ['sh', '-c', 'test -e x'] })).toBe('"test -e x"')
    expect(describeProbe({ kind: 'command', argv: ['node', 'x.js'] })).toBe('"node x.js"')
    expect(describeProbe({ kind: 'listening', port: 80 })).toBe('port 80')
    expect(describeProbe({ kind: 'uptime', uptimeMs: 1500 })).toBe('1.5 s up')
  })
})
