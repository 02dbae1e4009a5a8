import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { errno, stopIfCancelled } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { paths } from '../core/names.ts'
import type { Layer } from '../core/types.ts'
import { withHostLock } from './host-lock.ts'

export type LayerRequest = {
  layer: Layer
  /** Fills the empty directory it is given; whatever it throws removes the directory. */
  make: (dir: string) => Promise<void>
  /** Keys of layers that were needed to make this one: kept for as long as this one is. */
  madeFrom?: string[]
  signal: AbortSignal
}

/** Making a shared layer takes seconds; a mirror that hangs must not hold the lock for ever. */
const sharedTimeoutMs = 15 * 60_000

const inProgress = new Map<string, Promise<unknown>>()

/**
 * Makes sure that a layer is there, and says which it was: `re-used` or `made`. A layer appears by
 * one rename, complete and on disk, or not at all. Requests for the same layer at once make it
 * once; when the one that makes it fails or is cancelled, the next one tries for itself.
 */
export async function ensureLayer(
  config: PaasConfig,
  request: LayerRequest,
): Promise<'made' | 're-used'> {
  const target = paths(config).layer(request.layer)
  while (!existsSync(target)) {
    stopIfCancelled(request.signal)
    const other = inProgress.get(target)
    if (other) {
      await Promise.allSettled([other])
      continue
    }
    const making = isShared(request.layer)
      ? makeShared(config, request, target)
      : makeOwn(config, request, target)
    inProgress.set(target, making)
    try {
      return await making
    } finally {
      inProgress.delete(target)
    }
  }
  return 're-used'
}

/** Whether a layer is there already. */
export function hasLayer(config: PaasConfig, layer: Layer): boolean {
  return existsSync(paths(config).layer(layer))
}

/** Removes what an earlier run of this instance left half made. For boot, before any build. */
export async function sweepLayers(config: PaasConfig): Promise<void> {
  await rm(paths(config).making, { recursive: true, force: true })
}

/**
 * Removes this instance's own layers but those in `keepKeys`, those that they were made from and
 * those that a build is using. Shared layers stay. Returns the keys removed.
 */
export async function removeLayers(config: PaasConfig, keepKeys: Set<string>): Promise<string[]> {
  const { layers, making } = paths(config)
  const names = await readdir(layers).catch(ifMissing([]))
  const keep = await withOrigins(layers, names, new Set([...keepKeys, ...pins.keys()]))
  const doomed = names.filter((name) => !keep.has(name.replace(/\.from$/, '')))
  const bin = join(making, `removed-${randomBytes(6).toString('hex')}`)
  await mkdir(bin, { recursive: true })
  for (const name of doomed) {
    if (pins.has(name)) continue // a build began to use it while we looked
    await rename(join(layers, name), join(bin, name)).catch(ifMissing(undefined))
  }
  await rm(bin, { recursive: true, force: true })
  return doomed.filter((name) => !name.endsWith('.from'))
}

const pins = new Map<string, number>()

/**
 * Keeps layers from `removeLayers` while a build uses them. Released a minute after the end, so
 * that whoever ordered the build has recorded the release that owns them from then on.
 */
export function pinLayers(): { add(key: string): void } & Disposable {
  const keys: string[] = []
  return {
    add(key) {
      keys.push(key)
      pins.set(key, (pins.get(key) ?? 0) + 1)
    },
    [Symbol.dispose]() {
      setTimeout(() => keys.forEach(unpin), 60_000).unref()
    },
  }
}

function unpin(key: string): void {
  const count = (pins.get(key) ?? 1) - 1
  if (count > 0) pins.set(key, count)
  else pins.delete(key)
}

function isShared({ kind }: Layer): boolean {
  return kind === 'stack' || kind === 'apt' || kind === 'runtime'
}

async function makeOwn(config: PaasConfig, request: LayerRequest, target: string): Promise<'made'> {
  const { making, layers } = paths(config)
  const dir = join(making, `${request.layer.key}-${randomBytes(4).toString('hex')}`)
  await mkdir(layers, { recursive: true })
  if (request.madeFrom?.length) {
    await writeFile(join(layers, `${request.layer.key}.from`), request.madeFrom.join('\n'))
  }
  await makeBeside(request, dir, target)
  return 'made'
}

/** The lock covers instances; what an interrupted maker left is removed by the next one. */
async function makeShared(
  config: PaasConfig,
  request: LayerRequest,
  target: string,
): Promise<'made' | 're-used'> {
  const { sharedMaking, sharedLayers } = paths(config)
  const { signal } = request
  const limits = { signal, timeoutMs: sharedTimeoutMs }
  return await withHostLock(config, request.layer.key, limits, async () => {
    if (existsSync(target)) return 're-used'
    await mkdir(sharedLayers, { recursive: true })
    await makeBeside(request, join(sharedMaking, request.layer.key), target)
    return 'made'
  })
}

async function makeBeside(request: LayerRequest, dir: string, target: string): Promise<void> {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  try {
    await request.make(dir)
    stopIfCancelled(request.signal)
    // A name that survives a power cut must not stand for files that did not.
    await exec('sync', ['--file-system', '--', dir])
    await rename(dir, target)
  } catch (error) {
    await rm(dir, { recursive: true, force: true })
    throw error
  }
}

/** The closure of `keep` over the `<key>.from` files beside the layers. */
async function withOrigins(
  layers: string,
  names: string[],
  keep: Set<string>,
): Promise<Set<string>> {
  const notes = new Set(names.filter((name) => name.endsWith('.from')))
  const waiting = [...keep]
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
    if (!notes.has(`${key}.from`)) continue
    const text = await readFile(join(layers, `${key}.from`), 'utf8').catch(ifMissing(''))
    for (const origin of text.split('\n')) {
      if (!origin || keep.has(origin)) continue
      keep.add(origin)
      waiting.push(origin)
    }
  }
  return keep
}

function ifMissing<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (errno(error) === 'ENOENT') return value
    throw error
  }
}
