import { readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { limits } from '../../core/config.ts'
import { kernelNames, paths } from '../../core/names.ts'
import { cgroupDirectories, read } from '../../runner/cgroup.ts'
import { formatEntry, parseLogFile } from '../../runner/log-files.ts'
import { boundLogs, sweepLogs } from '../../runner/log-ring.ts'
import { appendLog, type LogLine, tailLogs } from '../../runner/logs.ts'
import { pidIn } from '../../runner/processes.ts'
import { stopInstance } from '../../runner/stop.ts'
import { parseUsage, readUsage } from '../../runner/usage.ts'
import { node, openTestHost, type TestHost } from './fixture.ts'

let t: TestHost
let logs: string
beforeAll(async () => {
  t = await openTestHost()
  logs = paths(t.config).logs('ring')
})
afterAll(() => t[Symbol.asyncDispose]())
beforeEach(() => rm(logs, { recursive: true, force: true }))

/** Lines of one container that ended at `minute`. */
async function writeLog(name: string, minute: number, count: number): Promise<void> {
  await appendLog(logs, { process: 'paas', release: 0 }, 'begin')
  const at = new Date(minute * 60_000)
  const lines = Array.from({ length: count }, (_, line) =>
    formatEntry(at, 'stdout', `line ${line} of minute ${minute}`),
  )
  await writeFile(join(logs, name), lines.join(''))
  await utimes(join(logs, name), at, at)
}

test('what nobody writes any more is compressed, and read as before', async () => {
  await writeLog('web.1.v1.00000000000a.000001.log', 1, 5000)
  await writeLog('web.1.v1.00000000000a.log', 2, 5000)
  await writeLog('web.1.v2.00000000000b.log', 3, 10)
  const web = () => tailLogs(logs, { lines: 20_000, process: 'web' })
  const before = (await web()).lines
  expect(before).toHaveLength(10_010)
  await boundLogs(t.host, 'ring')
  await boundLogs(t.host, 'ring')
  const names = (await readdir(logs)).filter((name) => name.endsWith('.zst')).sort()
  expect(names).toEqual([
    'web.1.v1.00000000000a.000001.log.zst',
    'web.1.v1.00000000000a.000002.log.zst',
  ])
  expect((await web()).lines).toEqual(before)
  const { size } = await stat(join(logs, names[0] ?? ''))
  expect(size).toBeLessThan(5000 * 70 * 0.2)
  expect((await tailLogs(logs, { lines: 3, release: 1 })).lines.at(-1)?.text).toBe(
    'line 4999 of minute 2',
  )
})

test('what is still being followed is left alone, and so is half a compression', async () => {
  await writeLog('web.1.v1.00000000000a.000001.log', Date.now() / 60_000, 5000)
  await writeFile(join(logs, 'web.1.v1.00000000000a.000007.log.zst.new'), 'half')
  await boundLogs(t.host, 'ring')
  expect((await tailLogs(logs, { lines: 9999, process: 'web' })).lines).toHaveLength(5000)
  await sweepLogs(t.host, 'ring')
  expect((await readdir(logs)).filter((name) => name.includes('zst'))).toEqual([])
})

test('time and match choose lines in all files, compressed ones too', async () => {
  for (const minute of [10, 20, 30])
    await writeLog(`web.1.v1.0000000000${minute}.log`, minute, 2000)
  await boundLogs(t.host, 'ring')
  expect(await countLines({})).toBe(6000)
  expect(await countLines({ since: 20 * 60_000 })).toBe(4000)
  expect(await countLines({ until: 20 * 60_000 })).toBe(2000)
  expect(await countLines({ since: 20 * 60_000, until: 30 * 60_000 })).toBe(2000)
  expect(await countLines({ match })).toBe(3)
})

test('an app keeps as many bytes and files as it may', async () => {
  const wanted = limits.logBytesLeast
  for (let file = 0; file < 12; file++) {
    await writeLog(`web.1.v1.0000000000${10 + file}.log`, 100 + file, 10)
    await writeFile(join(logs, `web.1.v2.0000000000${10 + file}.log`), Buffer.alloc(1024 * 1024))
  }
  await boundLogs(t.host, 'ring', wanted)
  const sizes = new Map<number, number>() // by inode: a file may have two names
  for (const name of await readdir(logs)) {
    const { ino, size } = await stat(join(logs, name))
    sizes.set(ino, size)
  }
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0)
  expect(total).toBeLessThanOrEqual(wanted)
  expect(total).toBeGreaterThan(wanted * 0.5)
  for (let file = 0; file < limits.logFilesPerApp + 20; file++) {
    const id = String(file).padStart(12, '0')
    await writeFile(join(logs, `web.1.v3.${id}.log`), '')
  }
  await boundLogs(t.host, 'ring', wanted)
  const inodes = await Promise.all(
    (await readdir(logs)).map(async (name) => (await stat(join(logs, name))).ino),
  )
  expect(new Set(inodes).size).toBeLessThanOrEqual(limits.logFilesPerApp)
})

test('a monitor may use a small part of a core and no more, and its group goes with it', async () => {
  const instance = await t.start(node('setInterval(() => {}, 1000)'))
  const group = kernelNames(t.config).monitorCgroup(instance.id)
  const pid = pidIn(join(paths(t.config).bundle(instance.id), 'monitor.pid'))
  expect(read('cpu', group, 'cgroup.procs')).toBe(String(pid))
  const quota = read('cpu', group, 'cpu.max') ?? read('cpu', group, 'cpu.cfs_quota_us')
  expect(quota?.split(' ')[0]).toBe('6000')
  await stopInstance(t.host, instance.id, { graceMs: 1000 })
  expect(cgroupDirectories(group)).toEqual([])
})

test('a piece in a name is told from its number, compressed or not', () => {
  const file = { process: 'web.1', release: 7, id: '0123456789ab' }
  expect(parseLogFile('web.1.v7.0123456789ab.000002.log.zst')).toEqual({
    ...file,
    piece: 2,
    compressed: true,
  })
  expect(parseLogFile('web.1.v7.0123456789ab.log')).toEqual({
    ...file,
    piece: undefined,
    compressed: false,
  })
  expect(parseLogFile('web.1.v7.0123456789ab.log.zst.new')).toBeUndefined()
})

test('usage reads the same from both versions of control groups', () => {
  const one = parseUsage(1, {
    cpu: '2500000000',
    memory: '104857600',
    cache: 'cache 52428800\ntotal_cache 1\ntotal_inactive_file 4857600',
    limit: '268435456',
    peak: '209715200',
    pids: '7',
    events: 'oom_kill_disable 0\nunder_oom 0\noom_kill 3',
  })
  const two = parseUsage(2, {
    cpu: 'usage_usec 2500000\nuser_usec 1\nsystem_usec 2',
    memory: '104857600',
    cache: 'anon 1\ninactive_file 4857600',
    limit: '268435456',
    peak: '209715200',
    pids: '7',
    events: 'low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0',
  })
  expect(one).toEqual({
    cpuSeconds: 2.5,
    memoryBytes: 100_000_000,
    memoryLimitBytes: 268_435_456,
    memoryPeakBytes: 209_715_200,
    pids: 7,
    oomKills: 3,
  })
  expect(two).toEqual(one)
  expect(readUsage('/no/such/group')).toBeUndefined()
})

async function countLines(options: Partial<Parameters<typeof tailLogs>[1]>): Promise<number> {
  return (await tailLogs(logs, { lines: 99_999, process: 'web', ...options })).lines.length
}

async function match(lines: LogLine[]): Promise<LogLine[]> {
  return lines.filter(({ text }) => text.startsWith('line 7 '))
}
