import { describe, expect, test } from 'vitest'
import { toAppJson } from '../../builder/app-json.ts'
import { parseJson } from '../../builder/json-document.ts'
import { readConfig } from '../../core/config.ts'
import type { Image } from '../../core/types.ts'
import { livenessOf, modeOf, readinessOf, stopsFirst, timingOf } from '../../daemon/fleet/checks.ts'
import { withAppJson } from '../../daemon/apps/first-deploy.ts'
import { limitsOf } from '../../daemon/fleet/processes.ts'
import { toImage } from '../../daemon/store/rows.ts'

const processes = { web: 'w', worker: 'x', release: 'r' }

function image(appJson?: unknown): Image {
  const plain = { layers: [], processes, env: {}, language: 'Node' }
  if (appJson === undefined) return plain
  return { ...plain, appJson: toAppJson(parseJson('app.json', JSON.stringify(appJson))) }
}

const limits = { memoryBytes: 1024, cpus: 1, pids: 10 }
const none = { config: {}, formation: {}, limits }
const silent = () => {}

describe('readiness', () => {
  test('without checks of its own is a port for web and a second up for others', () => {
    expect(readinessOf(image(), 'web', 'enabled')).toEqual([{ port: 5000 }])
    expect(readinessOf(image(), 'worker', 'disabled')).toEqual([{ uptimeMs: 1000 }])
    expect(readinessOf(image(), 'web', 'skipped')).toEqual([])
  })

  test('is what app.json says, for web after the port', () => {
    const checks = [
      { type: 'readiness', path: '/' },
      { type: 'liveness', path: '/live' },
    ]
    const own = image({ healthchecks: { web: checks, worker: [{ uptime: 2 }] } })
    expect(readinessOf(own, 'web', 'enabled')).toMatchObject([
      { port: 5000 },
      { checks: [{ type: 'readiness' }] },
    ])
    expect(readinessOf(own, 'worker', 'enabled')).toMatchObject([
      { checks: [{ probe: { kind: 'uptime' } }] },
    ])
    expect(livenessOf(own, 'web', 'enabled')).toMatchObject([{ probe: { path: '/live' } }])
    expect(livenessOf(own, 'web', 'skipped')).toEqual([])
  })
})

test('a type stops first when it is exclusive or its checks are disabled', () => {
  const exclusive = image({ formation: { worker: { exclusive: true } } })
  expect(stopsFirst(exclusive, 'worker', 'enabled')).toBe(true)
  expect(stopsFirst(exclusive, 'web', 'enabled')).toBe(false)
  expect(stopsFirst(exclusive, 'web', 'disabled')).toBe(true)
  expect(stopsFirst(image(), 'web', 'skipped')).toBe(false)
})

test('the mode of a type wins over that of all types', () => {
  expect(modeOf({ modes: {} }, 'web')).toBe('enabled')
  expect(modeOf({ modes: { '*': 'skipped' } }, 'web')).toBe('skipped')
  expect(modeOf({ modes: { '*': 'skipped', web: 'enabled' } }, 'web')).toBe('enabled')
})

test('an app has the times of the instance until it has its own', () => {
  const config = readConfig({ PAAS_DRAIN_TIMEOUT: '7' })
  expect(timingOf(config, { modes: {} })).toEqual({ readyMs: 60000, drainMs: 7000, graceMs: 30000 })
  expect(timingOf(config, { modes: {}, drainMs: 0, graceMs: 5, timeoutMs: 9 })).toEqual({
    readyMs: 9,
    drainMs: 0,
    graceMs: 5,
  })
})

describe('the first deploy', () => {
  test('sets config that nobody has set, and makes secrets', () => {
    const env = { A: 'a', B: 'b', S: { generator: 'secret' } }
    const { config } = withAppJson(
      image({ env }),
      undefined,
      { ...none, config: { B: 'mine' } },
      silent,
    )
    expect(config).toMatchObject({ A: 'a', B: 'mine' })
    expect(config.S).toMatch(/^[0-9a-f]{64}$/)
  })

  test('is the only one that sets config, but for what is kept in step', () => {
    const env = { A: 'a', B: { value: 'b', sync: true }, S: { generator: 'secret', sync: true } }
    const own = { ...none, config: { B: 'mine', S: 'kept' } }
    const { config } = withAppJson(image({ env }), image(), own, silent)
    expect(config).toEqual({ B: 'b', S: 'kept' })
  })

  test('says which keys it set and never their values', () => {
    const said: string[] = []
    const env = { A: 'a', S: { generator: 'secret' } }
    const { config } = withAppJson(image({ env }), undefined, none, (line) => said.push(line))
    expect(said).toEqual(['       Config from app.json: A, S'])
    expect(said.join()).not.toContain(config.S)
  })

  test.each([undefined, image()])(
    'fails when required config is missing (before: %j)',
    (before) => {
      const own = image({ env: { KEY: {}, OTHER: { required: true }, C: { required: false } } })
      expect(() => withAppJson(own, before, none, silent)).toThrow(
        'KEY, OTHER are required by app.json and not set',
      )
      const set = { ...none, config: { KEY: '', OTHER: 'x' } }
      expect(withAppJson(own, before, set, silent).config).toEqual(set.config)
    },
  )

  test('of a type takes its quantity and limits, which later deploys leave alone', () => {
    const own = image({ formation: { worker: { quantity: 2, memory: '64m' }, web: { cpu: 2 } } })
    const first = withAppJson(own, undefined, none, silent)
    expect(first.formation).toEqual({ web: 1, worker: 2 })
    expect(first.limits.types).toEqual({
      worker: { memoryBytes: 64 * 1024 ** 2 },
      web: { cpus: 2 },
    })
    expect(limitsOf(first.limits, 'worker')).toEqual({ ...limits, memoryBytes: 64 * 1024 ** 2 })
    const kept = { ...none, formation: { web: 3, worker: 0 } }
    expect(withAppJson(own, own, kept, silent)).toEqual(kept)
    const webOnly = { ...image(), processes: { web: 'w' } }
    expect(withAppJson(own, webOnly, { ...none, formation: { web: 3 } }, silent).formation).toEqual(
      {
        web: 3,
        worker: 2,
      },
    )
  })

  test('leaves what the user has set before it', () => {
    const own = image({ formation: { web: { quantity: 2, memory: '64m', cpu: 2 } } })
    const set = {
      ...none,
      formation: { web: 4 },
      limits: { ...limits, types: { web: { cpus: 1 } } },
    }
    const first = withAppJson(own, undefined, set, silent)
    expect(first.formation).toEqual({ web: 4, worker: 0 })
    expect(first.limits.types).toEqual({ web: { cpus: 1, memoryBytes: 64 * 1024 ** 2 } })
  })
})

test('an image is the same after a way through the database, with app.json and without', () => {
  const full = image({
    env: { A: 'a', B: { generator: 'secret', sync: true } },
    formation: { web: { quantity: 1, memory: '1g', cpu: 1 }, worker: { exclusive: true } },
    healthchecks: {
      web: [
        { path: '/', wait: 2, port: 8080 },
        { path: '/' },
        { command: ['a', 'b'] },
        { uptime: 1 },
        { type: 'liveness', listening: true },
      ],
    },
    scripts: { dokku: { predeploy: 'a', postdeploy: 'b' }, postdeploy: 'c' },
  })
  for (const one of [full, image(), image({})]) {
    expect(toImage(JSON.parse(JSON.stringify(one)))).toEqual(one)
  }
})
