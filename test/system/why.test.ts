import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

/** What is left to say when a process dies: the cause, who brought it, its last words. */
describe('a process that dies', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', frail()))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const why = async (...words: string[]) => {
    const { stdout } = await paas.ssh(['ps:why', ...words, '--json'])
    return JSON.parse(stdout)
  }
  const died = async (app: string) => (await why(app))?.times ?? 0

  test('nothing to explain is said so', async () => {
    const { stdout, code } = await paas.ssh(['ps:why', 'shop'])
    expect([stdout, code]).toEqual(['       No process of shop has died\n', 0])
  })

  test('an exit is explained with its code, its last lines and the release', async () => {
    await paas.get('shop', '/exit')
    await until('it is recorded', async () => (await died('shop')) === 1)
    const { stdout } = await paas.ssh(['ps:why', 'shop', 'web.1'])
    expect(stdout).toMatch(/^=====> web\.1 of shop exited with code 7\n/)
    expect(stdout).toMatch(/How often: {2}once in v1/)
    expect(stdout).toMatch(/Brought by: v1: Deploy [0-9a-f]{7}, by tester/)
    expect(stdout).toContain('last words of web.1')
    await until('it runs again', async () => (await paas.get('shop')).status === 200)
    expect((await why('shop')).now).toBe('running')
  })

  test('want of memory is told with the limit and the peak, and a signal by its name', async () => {
    await paas.ssh(['resource:limit', 'shop', '--memory', '64m'])
    await paas.get('shop', '/eat')
    await until('it is recorded', async () => (await why('shop')).cause === 'memory', 30_000)
    const death = await why('shop')
    expect(death.memory.limitBytes).toBe(64 * 1024 * 1024)
    expect(death.memory.peakBytes).toBeGreaterThan(50 * 1024 * 1024)
    expect(death.text).toMatch(/ran out of memory: killed at its limit of 64 MiB \(peak \d+ MiB\)/)
    expect(death.broughtBy).toMatchObject({ release: 'v1', by: 'tester' })
    await until('it runs again', async () => (await paas.get('shop')).status === 200)
    await paas.get('shop', '/signal')
    await until('it is recorded', async () => (await why('shop')).cause === 'signal')
    expect((await why('shop')).text).toBe('was killed by signal SIGABRT')
  })

  test('a deploy that fails its check is explained, and serves nobody', async () => {
    const deaf = await paas.tree('deaf', nodeApp('deaf'))
    await paas.push('deaf', deaf)
    await paas.ssh(['checks:set', 'deaf', 'timeout=2'])
    await paas.tree(
      'deaf',
      nodeApp('x', { listen: 'console.log("deaf"); setInterval(() => {}, 9)' }),
    )
    expect((await paas.push('deaf', deaf)).code).not.toBe(0)
    const death = await why('deaf')
    expect(death.cause).toBe('check')
    const failed = JSON.parse((await paas.ssh(['releases:info', 'deaf', 'v2', '--json'])).stdout)
    expect(failed).toMatchObject({ status: 'failed', by: 'tester', mounts: [] })
    expect(failed.error).toMatch(/^web did not answer on port 5000/)
    expect((await paas.ssh(['events', 'deaf'])).stdout).toMatch(/change-failed +tester +v2 +Deploy/)
    expect(death.text).toContain('web did not answer on port 5000 within 2 s')
    expect(death.lines).toContain('deaf')
    expect(death.broughtBy).toMatchObject({ release: 'v2', status: 'failed' })
    expect((await paas.get('deaf')).body).toBe('deaf')
  })

  test('a crash loop is slowed down and told, and the other instance serves on', async () => {
    const files = nodeApp('loop', {
      listen: `server.listen(process.env.PORT, () => {
        if (process.env.DYNO !== 'web.2' || !process.env.CRASH) return
        console.log('web.2 is broken'); setTimeout(() => process.exit(3), 1000)
      })`,
    })
    await paas.push('loop', await paas.tree('loop', files))
    await paas.ssh(['config:set', 'loop', 'CRASH=1'])
    await paas.ssh(['ps:scale', 'loop', 'web=2'])
    await until('it has died thrice', async () => (await died('loop')) >= 3, 60_000)
    for (let count = 0; count < 50; count++) expect((await paas.get('loop')).body).toBe('loop')
    await until('ps tells', async () => {
      const { stdout } = await paas.ssh(['ps', 'loop'])
      return /web\.2 +down: exit code 3, \d+ times in a row; next try in \d+ s/.test(stdout)
    })
    const death = await why('loop', 'web.2')
    expect(death).toMatchObject({ process: 'web.2', cause: 'exit', code: 3 })
    expect(death.broughtBy).toMatchObject({ release: 'v2', cause: 'Set CRASH' })
    expect(death.lines).toEqual(['web.2 is broken'])
    await paas.ssh(['ps:scale', 'loop', 'web=1'])
  })

  test('all of it outlives the daemon, and events list it with who did what', async () => {
    const before = await why('loop')
    await paas.killDaemon()
    await paas.startDaemon()
    expect((await why('loop')).times).toBe(before.times)
    const { stdout } = await paas.ssh(['events', 'loop', '--json'])
    const events: { kind: string; by: string; release: number | null; text: string }[] =
      JSON.parse(stdout)
    const told = events.map(({ kind, by, text }) => `${kind} ${by} ${text}`)
    expect(told.find((line) => /^changed tester Deploy [0-9a-f]{7}$/.test(line))).toBeDefined()
    expect(told).toContain('changed tester Set CRASH')
    expect(told).toContain('changed tester Scale web=2')
    expect(told).toContain('death paas web.2 exited with code 3')
    const failed = await paas.ssh(['events', 'deaf'])
    expect(failed.stdout).toMatch(
      /change-failed +tester +v\d+ +Deploy [0-9a-f]{7}: web did not answer/,
    )
    expect(failed.stdout).not.toContain('undefined')
  })
})

/** An app that ends in the way it is asked to. */
function frail() {
  return nodeApp('shop', {
    before: `
const die = {
  '/exit': () => { console.log('last words of ' + process.env.DYNO); setTimeout(() => process.exit(7), 20) },
  '/signal': () => process.abort(),
  '/eat': () => { const all = []; setInterval(() => all.push(Buffer.alloc(8e6, 1)), 5) },
}
setImmediate(() => server.on('request', (req) => die[req.url]?.()))`,
  })
}
