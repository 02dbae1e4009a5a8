import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { paths } from '../../core/names.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'
import { cgroupProcesses } from './leaks.ts'

let paas: Paas
beforeAll(async () => {
  paas = await startPaas()
  const pushed = await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
  expect(pushed.code).toBe(0)
}, 180_000)
afterAll(() => paas[Symbol.asyncDispose]())

type Entry = {
  job: number
  status: string
  code: number | null
  detail: string | null
  by: string
  durationMs: number
  output: string[]
}

const history = async (...job: string[]): Promise<Entry[]> =>
  JSON.parse((await paas.ssh(['cron:history', '--json', 'shop', ...job])).stdout)

const contained = () => cgroupProcesses(`/${paas.config.tag}`)

/** Adds a job and returns its name. */
async function add(...words: string[]): Promise<string> {
  const { stdout, stderr, code } = await paas.ssh(['cron:add', ...words])
  expect([code, stderr]).toEqual([0, ''])
  return /Added (cron\.\d+)/.exec(stdout)?.[1] ?? ''
}

/** Runs it by hand and waits until nothing of it goes on. */
async function runOnce(job: string): Promise<Entry> {
  const before = (await history(job)).length
  expect((await paas.ssh(['cron:run', 'shop', job])).code).toBe(0)
  await until('it has ended', async () => {
    const runs = await history(job)
    return runs.length > before && runs[0]?.status !== 'running'
  })
  const [last] = await history(job)
  if (!last) throw new Error('no history')
  return last
}

/** Starts the daemon anew with a clock that shows the next full minute in a few seconds. */
async function nearFullMinute(): Promise<void> {
  const aheadMs = 55_000 - (Date.now() % 60_000)
  if (aheadMs <= 0) return
  const clock = `const now = Date.now
    globalThis.Date = class extends Date {
      constructor(...args) { super(...(args.length > 0 ? args : [Date.now()])) }
      static now() { return now() + ${aheadMs} }
    }`
  await paas.killDaemon()
  paas.env.NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(clock)}`
  await paas.startDaemon()
  delete paas.env.NODE_OPTIONS
}

const never = ['0', '0', '1', '1', "'*'"] // but at New Year

test('a job runs when it is due, by itself', async () => {
  await nearFullMinute()
  const job = await add('shop', "'* * * * *'", 'sh', '-c', "'echo tick; exit 0'")
  await until('it has run', async () => (await history(job))[0]?.status === 'exited', 100_000)
  expect((await history(job))[0]).toMatchObject({ code: 0, by: 'cron', output: ['tick'] })
  const log = (await paas.ssh(['logs', 'shop', '-p', job])).stdout
  expect(log).toMatch(new RegExp(`${job}: tick\n.*${job}: =====> ${job} exited with code 0`))
  expect((await paas.ssh(['cron:remove', 'shop', job])).code).toBe(0)
  expect((await paas.ssh(['cron:list', 'shop', '--json'])).stdout.trim()).toBe('[]')
}, 150_000)

describe('a job', () => {
  test('that fails is seen in ps, in the list, in the history and in the log', async () => {
    const job = await add('shop', '@yearly', "'echo one; echo broken >&2; exit 3'")
    expect(await runOnce(job)).toMatchObject({ status: 'exited', code: 3, by: 'tester' })
    const [{ output, durationMs }] = (await history(job)) as [Entry]
    expect(output).toEqual(['one', 'broken'])
    expect(durationMs).toBeGreaterThan(0)
    const failed = 'exited with code 3 after'
    expect((await paas.ssh(['ps', 'shop'])).stdout).toMatch(new RegExp(`${job} +failed: ${failed}`))
    expect((await paas.ssh(['cron:list', 'shop'])).stdout).toContain(failed)
    expect((await paas.ssh(['logs', 'shop'])).stdout).toContain(`=====> ${job} ${failed}`)
    const told = (await paas.ssh(['cron:history', 'shop', job, '-o'])).stdout
    expect(told).toMatch(/exited with code 3[^]*\n {7}one\n {7}broken\n/)
    await runOnce(job)
    const events = (await paas.ssh(['events', 'shop'])).stdout.split('\n')
    const ofJob = events.filter((line) => line.includes('cron-failed') && line.includes(failed))
    expect(ofJob).toHaveLength(1) // the second failure in a row says nothing new
    await paas.ssh(['cron:remove', 'shop', job])
    expect((await paas.ssh(['ps', 'shop'])).stdout).not.toContain(job)
  })

  test('prints config values as stars into its history, which paas keeps', async () => {
    await paas.ssh(['config:set', 'shop', 'CRON_SECRET=plain-to-see', '--no-restart'])
    await paas.ssh(['ps:restart', 'shop'])
    const { output } = await runOnce(await add('shop', ...never, `'echo $CRON_SECRET'`))
    expect(output).toEqual(['****'])
    expect((await paas.ssh(['logs', 'shop', '-p', 'cron'])).stdout).toContain('plain-to-see')
  })

  test('has the code, the config and the user of the app', async () => {
    await paas.ssh(['config:set', '--no-restart', 'shop', 'WHO=me'])
    await paas.ssh(['ps:restart', 'shop'])
    const job = await add('shop', ...never, "'id -u; pwd; ls server.js; echo $DYNO'")
    expect((await runOnce(job)).output).toEqual(['32767', '/app', 'server.js', job])
    await paas.ssh(['cron:remove', 'shop', job])
  })

  test('may be forbidden beside itself, allowed, or replace itself', async () => {
    const long = "'echo on; sleep 1000'"
    const going = async (job: string) =>
      (await history(job)).filter(({ status }) => status === 'running').length
    const start = (job: string) => paas.ssh(['cron:run', 'shop', job])

    const forbid = await add('shop', '@yearly', long)
    expect((await start(forbid)).code).toBe(0)
    const refused = await start(forbid)
    expect([refused.code, refused.stderr]).toEqual([75, expect.stringContaining('still runs')])
    expect(await going(forbid)).toBe(1)

    const allow = await add('--concurrency', 'allow', 'shop', '@yearly', long)
    await start(allow)
    await start(allow)
    expect(await going(allow)).toBe(2)

    const replace = await add('--concurrency', 'replace', 'shop', '@yearly', long)
    await start(replace)
    await start(replace)
    const [now, before] = await history(replace)
    expect(now?.status).toBe('running')
    expect(before).toMatchObject({ status: 'stopped', detail: 'the next run took its place' })

    const idle = contained().length
    for (const job of [forbid, allow, replace]) {
      expect((await paas.ssh(['cron:remove', 'shop', job])).code).toBe(0)
    }
    expect(contained().length).toBeLessThan(idle)
    expect((await paas.ssh(['run:list', 'shop', '--json'])).stdout.trim()).toBe('[]')
  }, 120_000)

  test('is refused with the reason when its schedule, zone or policy is none', async () => {
    const refused = async (...words: string[]) => {
      const { code, stderr } = await paas.ssh(['cron:add', ...words])
      expect(code).toBe(2)
      return stderr
    }
    expect(await refused('shop', "'61 * * * *'", 'true')).toContain('is not a schedule')
    expect(await refused('shop', '@sometimes', 'true')).toContain('is not a schedule')
    expect(await refused('--timezone', 'Mars', 'shop', '@daily', 'true')).toContain('time zone')
    expect(await refused('--concurrency', 'maybe', 'shop', '@daily', 'true')).toContain('forbid')
    expect(await refused('shop', '@daily')).toContain('needs a command')
    expect(await refused('shop', '@daily', "' '")).toContain('needs a command')
    const unknown = await paas.ssh(['cron:run', 'shop', 'cron.99'])
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('no cron job')])
  })
})

/** Five fields of the day's minute that lies this long before now, in UTC. */
const dailyAt = (minutesAgo: number) => {
  const due = new Date(Date.now() - minutesAgo * 60_000)
  return `'${due.getUTCMinutes()} ${due.getUTCHours()} * * *'`
}

test('app.json has jobs too, which come and go with its releases', async () => {
  const list = async () => {
    const jobs = JSON.parse((await paas.ssh(['cron:list', 'timed', '--json'])).stdout)
    return jobs.map((job: { number: number; schedule: string }) => [job.number, job.schedule])
  }
  const nightly = { command: 'echo night', schedule: '0 3 * * *' }
  const weekly = { command: 'echo week', schedule: '@weekly', concurrency_policy: 'replace' }
  const push = async (cron: unknown) =>
    paas.push(
      'timed',
      await paas.tree('timed', {
        ...nodeApp('timed'),
        'app.json': JSON.stringify({ cron }),
      }),
    )
  expect((await push([nightly, weekly])).code).toBe(0)
  expect(await list()).toEqual([
    [1, '0 3 * * *'],
    [2, '@weekly'],
  ])
  const removal = await paas.ssh(['cron:remove', 'timed', 'cron.1'])
  expect([removal.code, removal.stderr]).toEqual([1, expect.stringContaining('app.json')])
  expect((await push([{ ...weekly, schedule: '@monthly' }])).code).toBe(0)
  expect(await list()).toEqual([[2, '@monthly']])
  const bad = await push([{ ...nightly, schedule: '0 25 * * *' }])
  expect(bad.code).not.toBe(0)
  expect(bad.out).toContain('cron[0] in app.json: "0 25 * * *" is not a schedule')
  expect(await list()).toEqual([[2, '@monthly']])
  expect((await paas.ssh(['releases:rollback', 'timed', 'v1'])).code).toBe(0)
  expect((await list()).map(([, schedule]: [number, string]) => schedule).sort()).toEqual([
    '0 3 * * *',
    '@weekly',
  ])
}, 120_000)

describe('after downtime', () => {
  test('what was due within the hour runs once; older, suspended or done does not', async () => {
    const late = await add('shop', dailyAt(10), "'echo late'")
    const often = await add('shop', "'*/5 * * * *'", "'echo often'")
    const old = await add('shop', dailyAt(180), "'echo old'")
    const resting = await add('shop', dailyAt(10), "'echo resting'")
    expect((await paas.ssh(['cron:suspend', 'shop', resting])).stdout).toContain('Suspended')
    await paas.killDaemon()
    const db = new DatabaseSync(paths(paas.config).database)
    const yesterday = new Date(Date.now() - 23 * 3_600_000).toISOString()
    db.prepare('update cron_jobs set handled_at = ?').run(yesterday)
    db.close()
    await paas.startDaemon()
    const ended = async (job: string) => (await history(job)).some(({ code }) => code === 0)
    await until('the late ones ran', async () => (await ended(late)) && (await ended(often)))
    const told = async (job: string) => {
      const all = await history(job)
      return all.map(({ status }) => status).filter((status) => status !== 'skipped')
    }
    expect(await told(late)).toEqual(['exited'])
    expect((await told(often)).filter((status) => status === 'missed')).toHaveLength(1)
    expect(await told(old)).toEqual(['missed'])
    expect((await history(old))[0]?.detail).toMatch(/^due at .*, paas was down$/)
    expect(await told(resting)).toEqual([])
    expect((await paas.ssh(['ps', 'shop'])).stdout).toMatch(
      new RegExp(`${old} +failed: was missed`),
    )
    expect((await paas.ssh(['logs', 'shop'])).stdout).toContain(`=====> ${old} was missed: due at`)
    expect((await paas.ssh(['events', 'shop'])).stdout).toMatch(
      new RegExp(`cron-failed +cron .*${old} was missed`),
    )

    expect((await paas.ssh(['cron:resume', 'shop', resting])).stdout).toContain('Resumed')
    await paas.killDaemon()
    await paas.startDaemon()
    expect(await told(late)).toEqual(['exited'])
    expect(await told(old)).toEqual(['missed'])
    expect(await told(resting)).toEqual([])
  }, 180_000)
})
