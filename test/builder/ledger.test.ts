import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { listLayers, removeLayers } from '../../builder/layers/ledger.ts'
import { pinLayers } from '../../builder/layers/pins.ts'
import { settled } from '../../builder/layers/settling.ts'
import { ensureLayer, hasLayer } from '../../builder/layers/layers.ts'
import { forgetUses, noteUses, removeSharedLayers } from '../../builder/layers/shared.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'

let base: string
let config: PaasConfig
const { signal } = new AbortController()

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'paas-ledger-'))
  config = instance('home')
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

function instance(name: string): PaasConfig {
  mkdirSync(join(base, name))
  return readConfig({ PAAS_HOME: join(base, name), PAAS_CACHE: join(base, 'cache') })
}

const make = async (dir: string) => writeFileSync(join(dir, 'file'), 'x')
const own = (key: string): Layer => ({ kind: 'dependencies', key, label: key })
const shared = (key: string): Layer => ({ kind: 'runtime', key, label: key })

function weekAgo(): number {
  return Date.now() - 7 * 24 * 60 * 60 * 1000
}

/** As if nobody had asked for it for eight days. */
function age(key: string): void {
  const then = new Date(Date.now() - 8 * 24 * 60 * 60 * 1000)
  utimesSync(join(paths(config).sharedLayers, `${key}.used`), then, then)
}

describe('An instance’s own layers', () => {
  test('go when nothing needs them, with what they alone were made from', async () => {
    for (const key of ['a', 'from-a', 'b', 'from-b']) {
      const madeFrom = key.startsWith('from') ? [] : [`from-${key}`]
      await ensureLayer(config, { layer: own(key), make, madeFrom, signal })
    }
    expect(listLayers(config).get('a')).toEqual(['from-a'])
    expect((await removeLayers(config, new Set(['a']))).sort()).toEqual(['b', 'from-b'])
    expect([...listLayers(config).keys()].sort()).toEqual(['a', 'from-a'])
    await settled(config, ['a', 'from-a'])
    expect(readdirSync(paths(config).layers)).toHaveLength(4)
  })

  test('stay while a build uses them, and until what it was for is recorded', async () => {
    await ensureLayer(config, { layer: own('a'), make, signal })
    {
      using pins = pinLayers()
      pins.add('a')
      expect(await removeLayers(config, new Set(), performance.now())).toEqual([])
    }
    expect(await removeLayers(config, new Set())).toEqual([])
    expect(await removeLayers(config, new Set(), performance.now())).toEqual(['a'])
  })

  test('are the only thing that is removed from where they lie', async () => {
    const foreign = join(paths(config).layers, 'not-ours')
    mkdirSync(foreign, { recursive: true })
    expect(await removeLayers(config, new Set())).toEqual([])
    expect(existsSync(foreign)).toBe(true)
  })
})

describe('Layers that all of the host share', () => {
  test('go when no instance needs them and nobody asked for them for a week', async () => {
    for (const key of ['old', 'fresh', 'needed']) {
      await ensureLayer(config, { layer: shared(key), make, signal })
    }
    const other = instance('other')
    await noteUses(config, [])
    await noteUses(other, ['needed'])
    age('old')
    age('needed')
    expect(await removeSharedLayers(config, signal, weekAgo())).toEqual(['old'])
    expect(hasLayer(config, shared('old'))).toBe(false)
    expect(hasLayer(config, shared('needed'))).toBe(true)

    await forgetUses(other)
    age('needed')
    expect(await removeSharedLayers(config, signal, weekAgo())).toEqual(['needed'])
  })

  test('stay when one is asked for, and when the state of the instance is out of sight', async () => {
    await ensureLayer(config, { layer: shared('tool'), make, signal })
    age('tool')
    expect(hasLayer(config, shared('tool'))).toBe(true)
    expect(await removeSharedLayers(config, signal, weekAgo())).toEqual([])

    const away = instance('away')
    await noteUses(away, ['tool'])
    rmSync(away.home, { recursive: true })
    age('tool')
    expect(await removeSharedLayers(config, signal, weekAgo())).toEqual([])
  })

  test('that paas did not make stay for ever', async () => {
    const foreign = join(paths(config).sharedLayers, 'not-ours')
    mkdirSync(foreign, { recursive: true })
    expect(await removeSharedLayers(config, signal, Date.now())).toEqual([])
    expect(existsSync(foreign)).toBe(true)
  })
})
