import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'
import { sleepers, slowBuild, wake } from './slow-build.ts'

type Build = { number: number; status: string; error: string | null; seconds: number | null }

describe('builds', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas({ PAAS_BUILDS: '2' })
    await paas.push('shop', await paas.tree('shop', slowBuild('first', 0)))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const builds = async (app: string): Promise<Build[]> =>
    JSON.parse((await paas.paas(['--json', 'builds', app])).stdout)

  test('keep what they said and how long they took', async () => {
    const [build] = await builds('shop')
    expect(build).toMatchObject({ number: 1, status: 'succeeded', seconds: expect.any(Number) })
    const output = await paas.ssh(['builds:output', 'shop', '1'])
    expect(output.stdout).toMatch(/-----> Building shop[^]*built-first[^]*Application deployed/)
    expect((await paas.ssh(['builds:info', 'shop'])).stdout).toMatch(/status: +succeeded/)
    expect((await paas.ssh(['builds', 'shop'])).stdout).toMatch(/TOOK[^]*\d s/)
    const none = await paas.ssh(['builds:info', 'shop', '99'])
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('has no build "99"')])
    const over = await paas.ssh(['builds:cancel', 'shop', '1'])
    expect([over.code, over.stderr]).toEqual([1, expect.stringContaining('it has succeeded')])
  })

  test('that run are cancelled from another session: pusher told, processes gone', async () => {
    const push = paas.push('shop', await paas.tree('hang', slowBuild('hang', 600)))
    await until('the build sleeps', () => sleepers(paas).length === 1)
    const later = paas.push('shop', await paas.tree('later', nodeApp('later')))
    await until('the other waits', async () => (await builds('shop'))[0]?.status === 'waiting')
    const cancel = () => paas.ssh(['builds:cancel', 'shop'])
    expect((await cancel()).out).toBe('-----> Cancelled build #3\n')
    expect((await cancel()).out).toBe('-----> Cancelled build #2\n')
    expect([sleepers(paas), (await later).code]).toEqual([[], 1])
    const pushed = await push
    expect([pushed.code === 0, pushed.out]).toEqual([
      false,
      expect.stringContaining('Cancelled by tester'),
    ])
    expect((await builds('shop'))[1]).toMatchObject({
      status: 'cancelled',
      error: 'Cancelled by tester',
    })
    expect((await paas.get('shop')).body).toBe('first')
  })

  test('that wait are cancelled without touching the one that runs', async () => {
    const dir = await paas.tree('three', slowBuild('running', 600))
    const running = paas.push('shop', dir)
    await until('the build sleeps', () => sleepers(paas).length === 1)
    const waiting = paas.push('shop', await paas.tree('four', nodeApp('waiting')))
    await until('the other waits', async () => (await builds('shop'))[0]?.status === 'waiting')
    expect((await paas.ssh(['builds:cancel', 'shop', '5'])).code).toBe(0)
    expect((await waiting).code).not.toBe(0)
    wake(paas)
    expect((await running).code).toBe(0)
    expect((await builds('shop')).map(({ status }) => status)).toEqual([
      'cancelled',
      'succeeded',
      'cancelled',
      'cancelled',
      'succeeded',
    ])
    expect((await paas.get('shop')).body).toBe('running')
  })

  test('are made again by ps:rebuild: as they were, or every command anew', async () => {
    await paas.push('again', await paas.tree('again', slowBuild('again', 0)))
    const asItWas = await paas.ssh(['ps:rebuild', 'again'])
    expect([asItWas.code, asItWas.stderr]).toEqual([0, ''])
    expect(asItWas.stdout).toMatch(/Building again from \w+ again[^]*build: re-used[^]*deployed:/)
    const anew = await paas.ssh(['ps:rebuild', 'again', '--no-cache'])
    expect(anew.stdout).toContain('building-again')
    expect((await paas.ssh(['releases', 'again'])).stdout).toMatch(/v3[^]*Rebuild \w{7}[^]*v2/)
    expect((await paas.get('again')).body).toBe('again')
    expect((await builds('again')).map(({ status }) => status)).toEqual(Array(3).fill('succeeded'))
    await paas.ssh(['apps:create', 'empty'])
    const empty = await paas.ssh(['ps:rebuild', 'empty'])
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringContaining('no release yet')])
  })

  test('of different apps run side by side up to the limit; the next sees its place', async () => {
    const trees = await Promise.all(
      ['one', 'two', 'three'].map((name) => paas.tree(`side-${name}`, slowBuild(name, 600))),
    )
    const [one, two] = ['one', 'two'].map((app, index) => paas.push(app, trees[index] ?? ''))
    await until('two builds sleep', () => sleepers(paas).length === 2)
    const three = paas.push('three', trees[2] ?? '')
    await until('the third waits', async () => {
      return (await paas.paas(['logs', 'three'])).stdout.includes('Waiting to build')
    })
    const first = new Set(sleepers(paas).map(({ pid }) => pid))
    wake(paas)
    await until('the third sleeps', () => sleepers(paas).some(({ pid }) => !first.has(pid)))
    wake(paas)
    const results = await Promise.all([one, two, three])
    expect(results.map((result) => result?.code)).toEqual([0, 0, 0])
    expect(results[2]?.out).toContain('-----> Waiting to build: number 1 in line, 2 at a time')
    expect(results[0]?.out).not.toContain('Waiting to build')
    for (const app of ['one', 'two', 'three']) expect((await paas.get(app)).body).toBe(app)
  })
})
