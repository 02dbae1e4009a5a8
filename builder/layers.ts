import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { errno, stopIfCancelled } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { paths } from '../core/names.ts'
import type { Layer } from '../core/types.ts'
import { withHostLock } from './host-lock.ts'
import { markUsed } from './shared-layers.ts'

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
  while (!hasLayer(config, request.layer)) {
    stopIfCancelled(request.signal)
    const other = inProgress.get(target)
    if (other) {
      await endOf(other, request.signal)
      continue
    }
    const making = isShared(config, request.layer)
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

/** Waits until another's making has ended, well or not, or nobody waits for it any more. */
async function endOf(other: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  signal.addEventListener('abort', resolve)
  other.then(resolve, resolve)
  await promise
  signal.removeEventListener('abort', resolve)
}

/** Whether a layer is there already. To ask for a shared one counts as a use of it. */
export function hasLayer(config: PaasConfig, layer: Layer): boolean {
  const there = existsSync(paths(config).layer(layer))
  if (there && isShared(config, layer)) markUsed(config, layer.key)
  return there
}

/** Removes what an earlier run of this instance left half made. For boot, before any build. */
export async function sweepLayers(config: PaasConfig): Promise<void> {
  await rm(paths(config).making, { recursive: true, force: true })
}

/**
 * Removes this instance's own layers but those in `keepKeys`, those that they were made from and
 * those that a build needs. Nothing is removed that was not made here: each layer has a note beside
 * it, and what has none is left alone. Shared layers stay. `settledAt` is a time (as
 * `performance.now()` tells it) at which every build that had ended was known to `keepKeys`;
 * without it what builds of the last minutes used stays too. Returns the keys removed.
 */
export async function removeLayers(
  config: PaasConfig,
  keepKeys: ReadonlySet<string>,
  settledAt = -Infinity,
): Promise<string[]> {
  const { layers, making } = paths(config)
  const names = await readdir(layers).catch(ifMissing([]))
  const pinned = [...pins.keys()].filter((key) => isPinned(key, settledAt))
  const keep = await withOrigins(layers, names, new Set([...keepKeys, ...pinned]))
  const keys = names.filter((name) => name.endsWith(noteEnding)).map(keyOfNote)
  const bin = join(making, `removed-${randomBytes(6).toString('hex')}`)
  await mkdir(bin, { recursive: true })
  const removed: string[] = []
  for (const key of keys) {
    // A build may have begun to use it, or to make it, while we looked.
    if (keep.has(key) || isPinned(key, settledAt) || inProgress.has(join(layers, key))) continue
    if (existsSync(join(layers, key))) removed.push(key)
    await rename(join(layers, key), join(bin, key)).catch(ifMissing(undefined))
    const note = join(layers, `${key}${noteEnding}`)
    await rm(note, { force: true }) // last: it is what we go by
    notesRead.delete(note)
  }
  await rm(bin, { recursive: true, force: true })
  return removed
}

/** The keys of the layers of this instance. */
export async function layerKeys(config: PaasConfig): Promise<string[]> {
  const names = new Set(await readdir(paths(config).layers).catch(ifMissing([])))
  return [...names].filter((name) => names.has(`${name}${noteEnding}`))
}

/** The layers of this instance, each with the keys of those that it was made from. */
export async function listLayers(config: PaasConfig): Promise<Map<string, string[]>> {
  const { layers } = paths(config)
  const found = new Map<string, string[]>()
  for (const key of await layerKeys(config)) {
    found.set(key, await originsIn(join(layers, `${key}${noteEnding}`)))
  }
  return found
}

/** Takes layers into the ledger that an older paas made without a note. */
export async function adoptLayers(config: PaasConfig, keys: Iterable<string>): Promise<void> {
  const { layers } = paths(config)
  const names = new Set(await readdir(layers).catch(ifMissing([])))
  for (const key of keys) {
    const note = `${key}${noteEnding}`
    if (names.has(key) && !names.has(note)) await writeFile(join(layers, note), '')
  }
}

type Pin = { builds: number; endedAt: number }
const pins = new Map<string, Pin>()
const pinnedAfterMs = 15 * 60_000

/**
 * Keeps layers from `removeLayers` while a build uses them, and for a while after its end, until
 * whoever ordered the build has recorded the release that owns them from then on.
 */
export function pinLayers(): { add(key: string): void } & Disposable {
  const keys: string[] = []
  return {
    add(key) {
      keys.push(key)
      const pin = pins.get(key) ?? { builds: 0, endedAt: -Infinity }
      pins.set(key, { ...pin, builds: pin.builds + 1 })
    },
    [Symbol.dispose]() {
      const endedAt = performance.now()
      for (const key of keys) {
        const builds = (pins.get(key)?.builds ?? 1) - 1
        pins.set(key, { builds, endedAt })
      }
      setTimeout(() => keys.forEach(unpin), pinnedAfterMs).unref()
    },
  }
}

function isPinned(key: string, settledAt: number): boolean {
  const pin = pins.get(key)
  return pin !== undefined && (pin.builds > 0 || pin.endedAt >= settledAt)
}

function unpin(key: string): void {
  const pin = pins.get(key)
  const over = pin && pin.builds === 0 && performance.now() >= pin.endedAt + pinnedAfterMs - 1000
  if (over) pins.delete(key)
}

/** Beside each layer of ours: it says that we made it, and of which other layers. */
const noteEnding = '.from'

function keyOfNote(name: string): string {
  return name.slice(0, -noteEnding.length)
}

function isShared(config: PaasConfig, layer: Layer): boolean {
  return dirname(paths(config).layer(layer)) === paths(config).sharedLayers
}

async function makeOwn(config: PaasConfig, request: LayerRequest, target: string): Promise<'made'> {
  const { making, layers } = paths(config)
  const dir = join(making, `${request.layer.key}-${randomBytes(4).toString('hex')}`)
  await mkdir(layers, { recursive: true })
  const note = join(layers, `${request.layer.key}${noteEnding}`)
  await writeFile(note, request.madeFrom?.join('\n') ?? '')
  notesRead.delete(note)
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
    markUsed(config, request.layer.key)
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
  const notes = new Set(names.filter((name) => name.endsWith(noteEnding)))
  const waiting = [...keep]
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
    if (!notes.has(`${key}${noteEnding}`)) continue
    for (const origin of await originsIn(join(layers, `${key}${noteEnding}`))) {
      if (keep.has(origin)) continue
      keep.add(origin)
      waiting.push(origin)
    }
  }
  return keep
}

/** Notes as they were read: one stays what it is as long as its layer stays, and there are many. */
const notesRead = new Map<string, string[]>()

async function originsIn(note: string): Promise<string[]> {
  const known = notesRead.get(note)
  if (known) return known
  const text = await readFile(note, 'utf8').catch(ifMissing(''))
  const origins = text.split('\n').filter(Boolean)
  notesRead.set(note, origins)
  return origins
}

function ifMissing<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (errno(error) === 'ENOENT') return value
    throw error
  }
}
