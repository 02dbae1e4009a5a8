import { appendFile, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { limits } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import { formatEntry } from '../../runner/log-files.ts'
import { boundLogs } from '../../runner/log-ring.ts'
import { appendLog, followLogs, type LogLine, tailLogs } from '../../runner/logs.ts'
import { stopInstance } from '../../runner/stop.ts'
import { node, openTestHost, type TestHost, until } from './fixture.ts'

let t: TestHost
let directory: string

beforeAll(async () => void (t = await openTestHost()))
afterAll(() => t[Symbol.asyncDispose]())
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'paas-logs-'))
  return () => rm(directory, { recursive: true })
})

const old = 'web.1.v1.00000000000a.log'
const fresh = 'web.1.v2.00000000000b.log'

function at(second: number, text: string): string {
  return formatEntry(new Date(second * 1000), 'stdout', text)
}

test('the last lines come from all files, in the order of time', async () => {
  await writeFile(join(directory, old), at(1, 'one') + at(3, 'three'))
  await writeFile(join(directory, fresh), at(2, 'two') + at(4, 'four'))
  await appendLog(directory, { process: 'paas', release: 2 }, 'deployed\nand well')
  const texts = async (options: Parameters<typeof tailLogs>[1]) => {
    return (await tailLogs(directory, options)).lines.map(({ text }) => text)
  }
  expect(await texts({ lines: 10 })).toEqual([
    'one',
    'two',
    'three',
    'four',
    'deployed',
    'and well',
  ])
  expect(await texts({ lines: 3 })).toEqual(['four', 'deployed', 'and well'])
  expect(await texts({ lines: 10, process: 'web' })).toEqual(['one', 'two', 'three', 'four'])
  expect(await texts({ lines: 10, release: 1 })).toEqual(['one', 'three'])
  expect(await texts({ lines: 0 })).toEqual([])
})

test('the end of a long file is found without reading all of it', async () => {
  const many = Array.from({ length: 100_000 }, (_, index) => at(index, `line ${index}`)).join('')
  await writeFile(join(directory, old), many)
  const { lines } = await tailLogs(directory, { lines: 2 })
  expect(lines.map(({ text }) => text)).toEqual(['line 99998', 'line 99999'])
})

test('whoever goes on after a long time gets every line in its order', async () => {
  const count = 100_000
  const many = Array.from({ length: count }, (_, index) => at(index, `line ${index}`)).join('')
  await writeFile(join(directory, old), many)
  const stop = new AbortController()
  let lines = 0
  const onLine = ({ text }: LogLine) => {
    if (text !== `line ${lines}`) stop.abort(new Error(`${text} came as ${lines}`))
    lines += 1
    if (lines === count) stop.abort()
  }
  await followLogs(directory, { from: {} }, onLine, stop.signal)
  expect([lines, stop.signal.reason.name]).toEqual([count, 'AbortError'])
})

test('an app without logs has none', async () => {
  expect(await tailLogs(join(directory, 'none'), { lines: 5 })).toEqual({ lines: [], end: {} })
})

test('following goes on through new files and renamed ones, from where the tail ended', async () => {
  await writeFile(join(directory, old), at(1, 'seen') + at(2, 'seen too'))
  const { end } = await tailLogs(directory, { lines: 1 })
  await appendFile(join(directory, old), at(3, 'meanwhile'))
  const abort = new AbortController()
  const lines: LogLine[] = []
  const following = followLogs(
    directory,
    { from: end },
    (line) => void lines.push(line),
    abort.signal,
  )
  await until('it has caught up', () => lines.length === 1)
  await writeFile(join(directory, fresh), at(4, 'new release'))
  await until('the new file is seen', () => lines.length === 2)
  await appendFile(join(directory, fresh), at(5, 'whole').slice(0, -3))
  await appendFile(join(directory, fresh), at(5, 'whole').slice(-3))
  await until('the line is whole', () => lines.length === 3)
  abort.abort()
  await following
  expect(lines.map(({ text }) => text)).toEqual(['meanwhile', 'new release', 'whole'])
})

test('a container that logs more than a file holds loses nothing between two looks', async () => {
  const logs = paths(t.config).logs('shop')
  const perFile = limits.logBytesPerApp / 16
  const count = Math.ceil((perFile * 1.5) / 1000)
  const script = `
    let i = 0
    const write = () => { while (i < ${count}) if (!process.stdout.write('x'.repeat(950) + ++i + '\\n')) return process.stdout.once('drain', write) }
    process.on('SIGTERM', () => process.exit(0)); console.log('begin'); setTimeout(write, 500); setInterval(() => {}, 1000)`
  const instance = await t.start(node(script))
  await until('it has begun', async () => (await tailLogs(logs, { lines: 1 })).lines.length === 1)
  await boundLogs(t.host, 'shop')
  await until('it is done', async () => {
    return (await tailLogs(logs, { lines: 1 })).lines[0]?.text.endsWith(`x${count}`) ?? false
  })
  const { lines } = await tailLogs(logs, { lines: count + 10 })
  expect(lines).toHaveLength(count + 1)
  expect(await readdir(logs)).toHaveLength(2)
  await stopInstance(t.host, instance.id, { graceMs: 1000 })
})

test('an app keeps no more than its share, and loses the oldest', async () => {
  const logs = paths(t.config).logs('shop')
  await rm(logs, { recursive: true, force: true })
  const line = 'y'.repeat(1000)
  for (let file = 0; file < 20; file++) {
    const name = `web.1.v${file}.0000000000${String(file).padStart(2, '0')}.log`
    await appendLog(logs, { process: 'paas', release: 0 }, line)
    await writeFile(join(logs, name), at(file, line).repeat(3000))
  }
  await boundLogs(t.host, 'shop')
  await boundLogs(t.host, 'shop')
  const inodes = new Map<number, number>()
  for (const name of await readdir(logs)) {
    const { ino, size } = await stat(join(logs, name))
    inodes.set(ino, size)
  }
  const total = [...inodes.values()].reduce((sum, size) => sum + size, 0)
  expect(total).toBeLessThanOrEqual(limits.logBytesPerApp)
  expect(total).toBeGreaterThan(limits.logBytesPerApp * 0.8)
  const { lines } = await tailLogs(logs, { lines: 1, process: 'web' })
  expect(lines[0]?.release).toBe(19)
})
