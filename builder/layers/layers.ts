import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { stopIfCancelled } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import { withHostLock } from './host-lock.ts'
import { enterLayer, noteLayer, openLedger } from './ledger.ts'
import { enterUnsettled, markUnsettled, sweepUnsettled } from './settling.ts'
import { markUsed } from './shared.ts'

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
 * one rename, complete, or not at all. Requests for the same layer at once make it once; when the
 * one that makes it fails or is cancelled, the next one tries for itself.
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

/**
 * Removes what an earlier run of this instance left half made. For boot, before any build;
 * `needed` are the keys that some release can still be started from.
 */
export async function sweepLayers(config: PaasConfig, needed: ReadonlySet<string>): Promise<void> {
  await rm(paths(config).making, { recursive: true, force: true })
  await mkdir(paths(config).layers, { recursive: true })
  await sweepUnsettled(config, needed)
  await openLedger(config, needed)
}

function isShared(config: PaasConfig, layer: Layer): boolean {
  return dirname(paths(config).layer(layer)) === paths(config).sharedLayers
}

/** Its files get on the disk when it is in use already: `settled` sees to that. */
async function makeOwn(config: PaasConfig, request: LayerRequest, target: string): Promise<'made'> {
  const { key } = request.layer
  const dir = join(paths(config).making, `${key}-${randomBytes(4).toString('hex')}`)
  await makeBeside(request, dir, async () => {
    await noteLayer(config, key, request.madeFrom ?? [])
    await markUnsettled(config, key)
    await rename(dir, target)
    enterLayer(config, key, request.madeFrom ?? [])
    enterUnsettled(config, key)
  })
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
    const dir = join(sharedMaking, request.layer.key)
    await makeBeside(request, dir, async () => {
      // A name that survives a power cut must not stand for files that did not.
      await exec('sync', ['--file-system', '--', dir])
      await rename(dir, target)
    })
    markUsed(config, request.layer.key)
    return 'made'
  })
}

async function makeBeside(
  request: LayerRequest,
  dir: string,
  publish: () => Promise<void>,
): Promise<void> {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  try {
    await request.make(dir)
    stopIfCancelled(request.signal)
    await publish()
  } catch (error) {
    await rm(dir, { recursive: true, force: true })
    throw error
  }
}
