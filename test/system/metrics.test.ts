import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { paths } from '../../core/names.ts'
import { freePort } from '../ports.ts'
import { httpGet, nodeApp, type Paas, startPaas, until } from './instance.ts'

/** What an app uses and answers, told by a command and to Prometheus. */
describe('metrics', () => {
  let paas: Paas
  let port: number
  beforeAll(async () => {
    port = await freePort()
    paas = await startPaas({ PAAS_METRICS_PORT: String(port) })
    const before = `
setImmediate(() => {
  const [answer] = server.listeners('request')
  server.removeAllListeners('request')
  server.on('request', (req, res) => {
    res.statusCode = Number(/^\\/status\\/(\\d+)/.exec(req.url)?.[1] ?? 200)
    if (req.url === '/die') setTimeout(() => process.exit(4), 20)
    answer(req, res)
  })
})`
    await paas.push('shop', await paas.tree('shop', nodeApp('shop', { before })))
    await paas.ssh(['ps:scale', 'shop', 'web=2'])
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  type Requests = {
    process: string
    release: string | null
    total: number
    classes: Record<string, number>
    p50Ms: number
    p99Ms: number
  }
  type Metrics = { processes: Record<string, unknown>[]; requests: Requests[] }
  const metrics = async (): Promise<Metrics> =>
    JSON.parse((await paas.ssh(['metrics', 'shop', '--json'])).stdout)
  const all = async () => (await metrics()).requests.at(-1)
  const scrape = async () => (await httpGet({ port, path: '/metrics', host: 'localhost' })).body

  test('each request is counted by process and release, with its status and time', async () => {
    for (let count = 0; count < 40; count++) await paas.get('shop')
    for (const status of [201, 302, 404, 404, 500]) await paas.get('shop', `/status/${status}`)
    await paas.get('shop', '/slow')
    await until('all are counted', async () => (await all())?.total === 46)
    const { requests } = await metrics()
    expect(requests.at(-1)).toMatchObject({
      process: 'all',
      classes: { '2xx': 42, '3xx': 1, '4xx': 2, '5xx': 1 },
    })
    const served = requests.filter(({ release }) => release === 'v1')
    expect(served.map(({ process }) => process).sort()).toEqual(['web.1', 'web.2'])
    expect(served.reduce((sum, { total }) => sum + total, 0)).toBe(46)
    const last = requests.at(-1)
    expect(last?.p50Ms).toBeLessThan(900)
    expect(last?.p99Ms).toBeGreaterThanOrEqual(1000)
  })

  test('a daemon that is killed or restarted counts on, each request once', async () => {
    let killed = 0
    const told = join(paths(paas.config).run, 'router-log.json')
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGKILL'] as const) {
      const before = (await all())?.total ?? 0
      for (let count = 0; count < 10; count++) await paas.get('shop')
      await until('they are counted', async () => (await all())?.total === before + 10)
      await paas.killDaemon(signal)
      for (let count = 0; count < 5; count++) await paas.get('shop')
      if (killed++ === 3) writeFileSync(told, '') // as one that lost its power left it
      await paas.startDaemon()
      await until('all are counted', async () => (await all())?.total === before + 15)
      await paas.get('shop', '/') // the times of requests are counted from anew
      await until('it is counted', async () => (await all())?.total === before + 16)
      const counts = [...(await scrape()).matchAll(/paas_requests_total\{.*\} (\d+)/g)]
      expect(counts.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(before + 16)
    }
  })

  test('CPU, memory with limit and peak, and restarts are told by process', async () => {
    await paas.get('shop', '/die')
    await until('it is counted', async () => {
      const { processes } = await metrics()
      return processes.length === 2 && processes.some(({ restarts }) => restarts === 1)
    })
    const { processes } = await metrics()
    for (const one of processes) {
      expect(one.memoryLimitBytes).toBe(512 * 1024 * 1024)
      expect(one.memoryBytes).toBeGreaterThan(1024 * 1024)
      expect(one.memoryPeakBytes).toBeGreaterThanOrEqual(Number(one.memoryBytes))
      expect(one.cpuSeconds).toBeGreaterThan(0.01)
      expect(one.pids).toBeGreaterThan(1)
    }
    const { stdout } = await paas.ssh(['metrics', 'shop'])
    expect(stdout).toMatch(/PROCESS +RELEASE +CPU +MEMORY +LIMIT +PEAK +PIDS +RESTARTS/)
    expect(stdout).toMatch(/web\.1 +v1 +[\d.]+ % +\d+ MiB +512 MiB/)
    expect(stdout).toMatch(/all +11[01] +/)
  })

  test('Prometheus can scrape the same', async () => {
    const text = await scrape()
    expect(text).toMatch(
      /paas_requests_total\{app="shop",process="web\.[12]",release="v1",class="4xx"\} [12]\n/,
    )
    expect(text).toMatch(
      /paas_request_duration_seconds_bucket\{le="0\.1",app="shop",process="web\.1"\} \d+/,
    )
    expect(text).toMatch(
      /paas_process_memory_limit_bytes\{app="shop",process="web\.1",release="v1"\} 536870912/,
    )
    expect(text).toMatch(
      /paas_process_deaths_total\{app="shop",process="web\.[12]",cause="exit"\} 1/,
    )
    expect((await httpGet({ port, path: '/', host: 'localhost' })).status).toBe(404)
  })

  test('what is gone is no longer told', async () => {
    await paas.ssh(['apps:destroy', 'shop', '--force'])
    await until('it is forgotten', async () => !(await scrape()).includes('app="shop"'))
  })
})
