import { isDeepStrictEqual } from 'node:util'
import { hasLayer } from '../../builder/layers/layers.ts'
import type { Difference } from '../../builder/image/layer-work.ts'
import { paths } from '../../core/names.ts'
import type { Layer, LayerKind, Release } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { openLayerWork } from './layer-work.ts'
import { processConfig } from '../fleet/processes.ts'

/** What one release has that another has not: files by layer, and everything that is set. */
export type ReleaseDiff = {
  layers: LayerDiff[]
  /** Keys alone: values are for `config:get`. */
  config: KeyDiff
  processes: ValueDiff
  formation: ValueDiff
  limits: ValueDiff
  /** By path within the containers, with the storage that is seen there. */
  mounts: ValueDiff
}

/**
 * `more`: there are further files. A layer of one release alone has no other side. `files` is null
 * where those of a side are not kept.
 */
export type LayerDiff = {
  kind: LayerKind
  before: string | null
  after: string | null
  files: Difference[] | null
  more: boolean
}

export type KeyDiff = { added: string[]; removed: string[]; changed: string[] }

export type ValueDiff = Record<string, { before: unknown; after: unknown }>

/** Looks at the files of those layers alone that are not the same ones. */
export async function diffReleases(
  daemon: Daemon,
  [before, after]: [Release, Release],
  { filesMost, signal }: { filesMost: number; signal: AbortSignal },
): Promise<ReleaseDiff> {
  await using work = openLayerWork(signal)
  const layers: LayerDiff[] = []
  for (const pair of pairLayers(before.image.layers, after.image.layers)) {
    const sides = [pair.before, pair.after].filter((layer) => layer !== undefined)
    // Those of a release that never served are not kept for long.
    const kept = sides.every((layer) => hasLayer(daemon.config, layer))
    const dir = (layer: Layer | undefined) => layer && paths(daemon.config).layer(layer)
    const job = { before: dir(pair.before), after: dir(pair.after), most: filesMost }
    const found = kept ? await work.compare(job) : null
    layers.push({
      kind: pair.kind,
      before: pair.before?.label ?? null,
      after: pair.after?.label ?? null,
      files: found?.slice(0, filesMost) ?? null,
      more: (found?.length ?? 0) > filesMost,
    })
  }
  return { layers, ...diffSettings(before, after) }
}

type Pair = { kind: LayerKind; before?: Layer; after?: Layer }

/** The layers that are not the same, those of one kind with each other, in image order. Pure. */
export function pairLayers(before: Layer[], after: Layer[]): Pair[] {
  const [old, fresh] = [without(before, after), without(after, before)]
  const kinds = [...new Set([...fresh, ...old].map(({ kind }) => kind))]
  return kinds.flatMap((kind) => {
    const [left, right] = [old, fresh].map((all) => all.filter((one) => one.kind === kind))
    const count = Math.max(left?.length ?? 0, right?.length ?? 0)
    return Array.from({ length: count }, (_, at) => {
      const [one, two] = [left?.[at], right?.[at]]
      return { kind, ...(one && { before: one }), ...(two && { after: two }) }
    })
  })
}

function without(layers: Layer[], others: Layer[]): Layer[] {
  const keys = new Set(others.map(({ key }) => key))
  return layers.filter(({ key }) => !keys.has(key))
}

/** What is set in one release and otherwise in the other. Pure. */
export function diffSettings(before: Release, after: Release): Omit<ReleaseDiff, 'layers'> {
  return {
    config: diffKeys(processConfig(before), processConfig(after)),
    processes: diffValues(before.image.processes, after.image.processes),
    formation: diffValues(before.formation, after.formation),
    limits: diffValues(limitsOf(before), limitsOf(after)),
    mounts: diffValues(mountsOf(before), mountsOf(after)),
  }
}

function limitsOf({ limits: { types = {}, ...all } }: Release): Record<string, unknown> {
  const own = Object.entries(types).map(([type, some]) => [`of ${type}`, some])
  return { ...all, ...Object.fromEntries(own) }
}

function mountsOf({ mounts }: Release): Record<string, string> {
  return Object.fromEntries(mounts.map(({ target, storage }) => [target, storage]))
}

function diffKeys(before: Record<string, string>, after: Record<string, string>): KeyDiff {
  const changes = Object.entries(diffValues(before, after))
  const keys = (is: (one: { before: unknown; after: unknown }) => boolean) =>
    changes.filter(([, change]) => is(change)).map(([key]) => key)
  return {
    added: keys((one) => one.before === undefined),
    removed: keys((one) => one.after === undefined),
    changed: keys((one) => one.before !== undefined && one.after !== undefined),
  }
}

function diffValues(before: Record<string, unknown>, after: Record<string, unknown>): ValueDiff {
  const [old, fresh] = [new Map(Object.entries(before)), new Map(Object.entries(after))]
  const keys = [...new Set([...old.keys(), ...fresh.keys()])].sort()
  const changed = keys.filter((key) => !isDeepStrictEqual(old.get(key), fresh.get(key)))
  return Object.fromEntries(
    changed.map((key) => [key, { before: old.get(key), after: fresh.get(key) }]),
  )
}
