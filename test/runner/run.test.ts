import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { defaultLimits } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import { removeScratch, runAttached } from '../../runner/run.ts'
import { patience } from '../patience.ts'
import { collector, never, node, openTestHost, type TestHost, traces, until } from './fixture.ts'

let t: TestHost

beforeAll(async () => void (t = await openTestHost()))
afterAll(() => t[Symbol.asyncDispose]())
afterEach(async () => {
  const left = traces(t.config)
  expect(left.filter((line) => !line.includes('/idmaps/'))).toEqual([])
})

test('20 MB go in and come out whole, and the exit code is exact', async () => {
  const bytes = randomBytes(20 * 1024 * 1024)
  const [stdout, stderr] = [collector(), collector()]
  const script = `process.stdin.pipe(process.stdout); process.stdin.on('end', () => process.exitCode = 42)`
  const exit = await runAttached(t.host, t.spec(node(script)), {
    stdin: Readable.from([bytes]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    signal: never,
    timeoutMs: 60_000,
  })
  expect(stderr.text()).toBe('')
  expect(exit.code).toBe(42)
  expect(stdout.bytes().equals(bytes)).toBe(true)
})

test('an abort ends everything within two seconds, however deaf', async () => {
  const abort = new AbortController()
  const script = `
    process.on('SIGTERM', () => {})
    require('node:child_process').spawn('sleep', ['1000'], { detached: true })
    console.log('ready'); setInterval(() => {}, 1000)
  `
  const lines: string[] = []
  const running = runAttached(t.host, t.spec(node(script)), {
    onLine: (line) => void lines.push(line),
    signal: abort.signal,
    timeoutMs: 60_000,
  })
  running.catch(() => {})
  await until('it is ready', () => lines.includes('ready'))
  const began = performance.now()
  abort.abort()
  await expect(running).rejects.toThrow('Cancelled')
  expect(performance.now() - began).toBeLessThan(patience(2000))
})

test('an abort while the container is being made leaves nothing', async () => {
  for (const afterMs of [1, 5, 10, 15, 20, 25, 30, 40, 60]) {
    const io = { onLine: () => {}, signal: AbortSignal.timeout(afterMs), timeoutMs: 60_000 }
    await expect(runAttached(t.host, t.spec(['sleep', '1000']), io)).rejects.toThrow('Cancelled')
  }
})

test('a deadline is named', async () => {
  const io = { onLine: () => {}, signal: never, timeoutMs: 300 }
  const running = runAttached(t.host, t.spec(['sleep', '1000'], { process: 'release.1' }), io)
  await expect(running).rejects.toThrow('release.1 took longer than 0.3 s')
})

test('a client that reads nothing does not stand in the way of an abort', async () => {
  const abort = new AbortController()
  const { PassThrough } = await import('node:stream')
  const stuck = new PassThrough({ highWaterMark: 1 })
  const script = `setInterval(() => process.stdout.write('x'.repeat(1e6)), 1)`
  const running = runAttached(t.host, t.spec(node(script)), {
    stdout: stuck,
    stderr: stuck,
    signal: abort.signal,
    timeoutMs: 60_000,
  })
  running.catch(() => {})
  await until('the pipe is full', () => stuck.readableLength > 0)
  abort.abort()
  await expect(running).rejects.toThrow('Cancelled')
})

test('what a build wrote can be kept, with the ids of the container', async () => {
  const spec = t.spec(node(`require('node:fs').writeFileSync('/tmp/made', 'here')`))
  const io = { onLine: () => {}, signal: never, timeoutMs: 60_000 }
  const exit = await runAttached(t.host, spec, io, { keepScratch: true })
  const made = join(paths(t.config).scratch(spec.id), 'upper/tmp/made')
  expect(exit.code).toBe(0)
  expect(readFileSync(made, 'utf8')).toBe('here')
  expect(statSync(made).uid).toBe(32767)
  await removeScratch(t.host, spec.id)
  expect(existsSync(made)).toBe(false)
})

test('a directory of the store can be shown inside, writable for its owner', async () => {
  const source = join(paths(t.config).store, 'caches', 'shop')
  await mkdir(source, { recursive: true })
  await writeFile(join(source, 'old'), 'old')
  const mounts = [{ source, target: '/cache', readOnly: false }]
  const script = `const fs = require('node:fs'); fs.writeFileSync('/cache/new', fs.readFileSync('/cache/old'))`
  const result = await t.run(node(script), { mounts, user: 'root' })
  expect(result).toMatchObject({ code: 0, lines: [] })
  expect(readFileSync(join(source, 'new'), 'utf8')).toBe('old')
  expect(statSync(join(source, 'new')).uid).toBe(0)
})

test('running out of memory is told from other deaths', async () => {
  const limits = { ...defaultLimits, memoryBytes: 64 * 1024 * 1024 }
  const script = `const all = []; for (;;) all.push(Buffer.alloc(1e6, 1))`
  expect(await t.run(node(script), { limits })).toMatchObject({ oom: true, code: 137 })
  expect(await t.run(node('process.kill(process.pid, 9)'))).toMatchObject({ oom: false, code: 137 })
})

test('a program that is not there is said so', async () => {
  const { code, lines } = await t.run(['no-such-program'])
  expect(code).not.toBe(0)
  expect(lines.join('\n')).toContain('No such file or directory')
})

test('A program that floods its output waits for the daemon, which has other things to do', async () => {
  const over = new AbortController()
  let busyMs = 0
  const onLine = () => {
    const began = performance.now()
    let work = 0
    while (performance.now() - began < 0.001) work += 1
    busyMs += performance.now() - began
    if (busyMs > 500) over.abort()
  }
  const flood = `const lines = 'y\\n'.repeat(30_000)
    const write = () => process.stdout.write(lines, write)
    write()`
  const began = performance.now()
  const io = { onLine, signal: over.signal, timeoutMs: 60_000 }
  await expect(runAttached(t.host, t.spec(node(flood)), io)).rejects.toThrow('Cancelled')
  expect(busyMs / (performance.now() - began)).toBeLessThan(0.38)
})
