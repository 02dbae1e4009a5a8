import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listLayers } from '../../builder/layers/ledger.ts'
import { markUnsettled, settled } from '../../builder/layers/settling.ts'
import { ensureLayer, sweepLayers } from '../../builder/layers/layers.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'

let home = ''
let config: PaasConfig

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'paas-layers-'))
  config = readConfig({ PAAS_HOME: home, PAAS_CACHE: join(home, 'cache') })
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

const own: Layer = { kind: 'app', key: 'app-1', label: 'source' }
const shared: Layer = { kind: 'runtime', key: 'tool-1', label: 'Tool 1' }
const { signal } = new AbortController()
const fill = async (dir: string) => writeFileSync(join(dir, 'file'), 'text')

test('A layer appears whole, once, and is re-used after that', async () => {
  expect(await ensureLayer(config, { layer: own, make: fill, signal })).toBe('made')
  expect(await ensureLayer(config, { layer: own, make: neverCalled, signal })).toBe('re-used')
  expect(readFileSync(join(paths(config).layer(own), 'file'), 'utf8')).toBe('text')
})

test('A layer that fails leaves nothing, and can be made after that', async () => {
  const make = async (dir: string) => {
    await fill(dir)
    throw new Failure('failed', 'No')
  }
  await expect(ensureLayer(config, { layer: own, make, signal })).rejects.toThrow('No')
  expect(readdirSync(paths(config).making)).toEqual([])
  expect(await ensureLayer(config, { layer: own, make: fill, signal })).toBe('made')
})

test('Requests at once make it once', async () => {
  let made = 0
  const make = async (dir: string) => {
    made++
    await exec('sleep', ['0.1'])
    await fill(dir)
  }
  const requests = [1, 2, 3].map(() => ensureLayer(config, { layer: own, make, signal }))
  expect((await Promise.all(requests)).sort()).toEqual(['made', 're-used', 're-used'])
  expect(made).toBe(1)
})

test('When the one that makes it is cancelled, the one that waits makes it', async () => {
  const controller = new AbortController()
  const make = async () => {
    await exec('sleep', ['30'], { signal: controller.signal })
  }
  const first = ensureLayer(config, { layer: own, make, signal: controller.signal })
  const second = ensureLayer(config, { layer: own, make: fill, signal })
  controller.abort()
  await expect(first).rejects.toThrow('Cancelled')
  expect(await second).toBe('made')
})

test('Who waits for another build can be cancelled, and the other goes on', async () => {
  const [mine, { promise, resolve }] = [new AbortController(), Promise.withResolvers<void>()]
  const first = ensureLayer(config, { layer: own, make: () => promise, signal })
  const request = { layer: own, make: neverCalled, signal: mine.signal }
  const second = ensureLayer(config, request)
  mine.abort()
  await expect(second).rejects.toThrow('Cancelled')
  resolve()
  expect(await first).toBe('made')
})

test('What a crash left half made is swept at boot', async () => {
  mkdirSync(join(paths(config).making, 'app-1-dead'), { recursive: true })
  await sweepLayers(config, new Set())
  expect(existsSync(paths(config).making)).toBe(false)
})

test('After a power cut, layers that may lack files go, unless a release was recorded with them', async () => {
  const keys = ['cut', 'recorded', 'this-boot']
  for (const key of keys) await ensureLayer(config, { layer: { ...own, key }, make: fill, signal })
  await settled(config, keys)
  const { layers } = paths(config)
  for (const key of keys) writeFileSync(join(layers, `${key}.unsettled`), 'of another boot')
  await markUnsettled(config, 'this-boot')
  await sweepLayers(config, new Set(['recorded']))
  const there = ['recorded', 'recorded.from', 'this-boot', 'this-boot.from']
  expect(readdirSync(layers).sort()).toEqual(there)
  expect([...listLayers(config).keys()].sort()).toEqual(['recorded', 'this-boot'])
})

test('A layer has its mark until it is on the disk', async () => {
  const { layers } = paths(config)
  await ensureLayer(config, { layer: own, make: fill, signal })
  expect(readdirSync(layers)).toContain('app-1.unsettled')
  await settled(config, ['app-1'])
  expect(readdirSync(layers)).not.toContain('app-1.unsettled')
})

const maker = `
  import { ensureLayer } from '${join(import.meta.dirname, '../../builder/layers/layers.ts')}'
  import { setTimeout } from 'node:timers/promises'
  const [config, layer, ms] = process.argv.slice(1).map((text) => JSON.parse(text))
  const make = async () => {
    console.log('making')
    await setTimeout(ms)
  }
  console.log(await ensureLayer(config, { layer, make, signal: new AbortController().signal }))`

function makerArguments(ms: number): string[] {
  const values = [config, shared, ms].map((value) => JSON.stringify(value))
  return ['--input-type=module', '--eval', maker, ...values]
}

test('Two instances on a host make a shared layer once', async () => {
  const outputs = await Promise.all([1, 2].map(() => exec(process.execPath, makerArguments(300))))
  expect(outputs.map(({ stdout }) => stdout).sort()).toEqual(['making\nmade\n', 're-used\n'])
})

test('A maker that is killed outright holds no lock and leaves nothing in the way', async () => {
  const dead = spawn(process.execPath, makerArguments(60_000), {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(dead.stdout, 'data')
  dead.kill('SIGKILL')
  await once(dead, 'exit')
  expect(readdirSync(paths(config).sharedMaking)).toEqual(['tool-1'])
  expect(await ensureLayer(config, { layer: shared, make: fill, signal })).toBe('made')
  expect(readdirSync(paths(config).sharedMaking)).toEqual([])
})

test('Waiting for another instance ends when it is cancelled', async () => {
  const other = spawn(process.execPath, makerArguments(60_000), {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    await once(other.stdout, 'data')
    const controller = new AbortController()
    const request = { layer: shared, make: neverCalled, signal: controller.signal }
    const waiting = ensureLayer(config, request)
    setTimeout(() => controller.abort(), 100)
    await expect(waiting).rejects.toThrow('Cancelled')
  } finally {
    other.kill('SIGKILL')
    await once(other, 'exit')
  }
})

async function neverCalled(): Promise<void> {
  throw new Error('it was there already')
}
