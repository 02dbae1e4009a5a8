import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultLimits, limits } from '../../core/config.ts'
import { parseDuration, parseSize, parseWhen } from '../../core/measures.ts'
import { broughtBy, tell } from '../../daemon/fleet/deaths.ts'
import { Latencies } from '../../daemon/metrics/latencies.ts'
import { formatEntry } from '../../daemon/logs/router-log.ts'
import type { Death } from '../../daemon/store/nouns.ts'
import { openStore, type Store } from '../../daemon/store/store.ts'
import { detailsOf, parseEntry } from '../../router/access-log.ts'

let store: Store
let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'paas-history-'))
  store = openStore(join(directory, 'paas.db'))
})
afterAll(async () => {
  store.close()
  await rm(directory, { recursive: true })
})

const death: Omit<Death, 'times'> = {
  at: '2026-11-21T06:00:00.000Z',
  process: 'web.1',
  release: 7,
  container: '0123456789ab',
  cause: 'exit',
  code: 3,
  memory: { limitBytes: 64, peakBytes: 63 },
  text: 'exited with code 3',
  lines: ['one', 'two'],
}

test('deaths are kept in number, counted by release beyond that, and go with the app', () => {
  const app = store.createApp('mortal', defaultLimits)
  for (let count = 0; count < limits.deathsKept + 20; count++) store.addDeath(app, death)
  expect(store.deaths(app)).toHaveLength(limits.deathsKept)
  expect(store.deaths(app)[0]).toEqual({ ...death, times: limits.deathsKept + 20 })
  expect(store.addDeath(app, { ...death, release: 8 }).times).toBe(1)
  expect(store.addDeath(app, { ...death, release: 8, cause: 'memory' }).times).toBe(1)
  expect(store.addDeath(app, { ...death, release: 8, code: 99 }).times).toBe(1)
  expect(store.addDeath(app, { ...death, release: 8 }).times).toBe(2)
  store.destroyApp(app)
  expect(store.deaths(app)).toEqual([])
})

test('events are kept in number, the newest first', () => {
  const app = store.createApp('eventful', defaultLimits)
  for (let count = 0; count < limits.eventsKept + 5; count++) {
    store.addEvent(app, { kind: 'changed', by: 'me', release: null, text: `number ${count}` })
  }
  expect(store.events(app, 9999)).toHaveLength(limits.eventsKept)
  expect(store.events(app, 1)[0]?.text).toBe(`number ${limits.eventsKept + 4}`)
})

test('events of the host stand apart from those of apps, and outlive them', () => {
  const app = store.createApp('passing', defaultLimits)
  store.addEvent(app, { kind: 'domains', by: 'me', release: null, text: 'Added a.example' })
  store.addEvent(null, { kind: 'keys', by: 'me', release: null, text: 'Added you' })
  expect(store.events(app, 9).map(({ text }) => text)).toEqual(['Added a.example'])
  store.destroyApp(app)
  store.addEvent(app, { kind: 'domains', by: 'me', release: null, text: 'Too late' })
  expect(store.events(null, 9).map(({ text }) => text)).toEqual(['Added you'])
})

test('a cause is told from what was seen', () => {
  const exit = { id: 'x', oom: false, at: '' }
  const memory = { limitBytes: 64 * 1024 ** 2, peakBytes: 63 * 1024 ** 2 }
  expect(textOf({ exit: { ...exit, code: 3 } })).toBe('exited with code 3')
  expect(textOf({ exit: { ...exit, code: 139 } })).toBe('was killed by signal SIGSEGV')
  expect(textOf({ exit: { ...exit, code: 255 } })).toBe('exited with code 255')
  expect(textOf({ exit: { ...exit, code: 137, oom: true, memory } })).toBe(
    'ran out of memory: killed at its limit of 64 MiB (peak 63 MiB)',
  )
  expect(textOf({ failed: 'no answer on /up' })).toBe('failed its check: no answer on /up')
})

test('a death was brought by the first of the releases that all died of the same', () => {
  const deaths = [of(9), of(8), of(7, 4), of(5)]
  expect(broughtBy(of(9), deaths, [5, 7, 8, 9])).toBe(8)
  expect(broughtBy(of(9), [of(9)], [8, 9])).toBe(9)
  expect(broughtBy(of(9), [of(9), of(8)], [8])).toBe(8)
})

test('percentiles are told within 15 %, and added up', () => {
  const [one, two] = [new Latencies(), new Latencies()]
  for (let ms = 1; ms <= 500; ms++) one.add(ms)
  for (let ms = 501; ms <= 1000; ms++) two.add(ms)
  expect(one.percentile(0.5)).toBeGreaterThan(225)
  expect(one.percentile(0.5)).toBeLessThan(295)
  one.take(two)
  expect(one.percentile(0.99)).toBeGreaterThan(900)
  expect(one.percentile(0.99)).toBeLessThan(1200)
  expect(new Latencies().percentile(0.5)).toBeNull()
  one.add(1e9)
  one.add(0)
  expect(one.percentile(1)).toBeGreaterThan(100_000)
})

test('a line of the router is read without the query, and written for people', () => {
  const request = { remote_ip: '192.0.2.7', method: 'GET', host: 'Shop.X.:80', uri: '/a?t=1' }
  const line = { ts: 5, request, user_id: '10.0.0.2:5000', duration: 0.0123, size: 9, status: 404 }
  const entry = parseEntry(JSON.stringify(line))
  if (!entry) throw new Error('A good line')
  expect(entry).toEqual({
    at: 5000,
    host: 'shop.x',
    status: 404,
    ms: 12.3,
    upstream: '10.0.0.2:5000',
    line: JSON.stringify(line),
  })
  expect(detailsOf(entry)).toEqual({ method: 'GET', path: '/a', bytes: 9, client: '192.0.2.7' })
  expect(formatEntry(entry, { process: 'web.2' })).toBe('GET /a 404 12 ms 9 B web.2 192.0.2.7')
  expect(parseEntry(JSON.stringify({ ...line, user_id: '' }))?.upstream).toBeUndefined()
  expect(parseEntry('{"half')).toBeUndefined()
  expect(parseEntry('7')).toBeUndefined()
})

test('a line of the router as it usually is reads like the same with a character escaped', () => {
  const usual =
    '{"level":"info","ts":1763712000.125,"logger":"http.log.access","msg":"handled request",' +
    '"request":{"remote_ip":"192.0.2.7","remote_port":"40000","proto":"HTTP/1.1","method":"GET",' +
    '"host":"Shop.X.:80","uri":"/a?t=1"},"user_id":"10.0.0.2:5000","duration":0.0005,"size":9,' +
    '"status":200}'
  const newer = usual.replace('"proto"', '"client_ip":"192.0.2.7","proto"')
  const entry = parseEntry(usual)
  expect(entry).toMatchObject({ host: 'shop.x', upstream: '10.0.0.2:5000', status: 200, ms: 0.5 })
  const newest = newer.replace('"user_id"', '"bytes_read":0,"user_id"')
  for (const line of [usual.replace('/a?', '/\\u0061?'), newer, newest]) {
    expect(parseEntry(line)).toEqual({ ...entry, line })
    expect(detailsOf({ line })).toEqual(detailsOf({ line: usual }))
  }
})

test('sizes and times are read as people type them', () => {
  expect([parseSize('8m'), parseSize('1g'), parseSize('64')]).toEqual([8 << 20, 1 << 30, 64 << 20])
  expect([parseSize('lots'), parseDuration('90'), parseDuration('1y')]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  expect([parseDuration('2h'), parseDuration('1w')]).toEqual([7_200_000, 604_800_000])
  expect(parseWhen('--since', '90s', 1_000_000)).toBe(910_000)
  expect(parseWhen('--since', '2026-11-21T06:00:00Z')).toBe(Date.UTC(2026, 10, 21, 6))
  expect(() => parseWhen('--since', '5 minutes')).toThrow('--since "5 minutes" is no time')
})

function of(release: number, code = 3): Death {
  return { ...death, release, code, times: 1 }
}

function textOf(seen: Parameters<typeof tell>[0]): string {
  return tell(seen).text
}
