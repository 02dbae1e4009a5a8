import type { LayerUse, Size } from '../store/disk.ts'

/** Pure: from what was measured and who refers to what, to the ledger that `disk` prints. */

export type Facts = {
  free: number
  total: number
  apps: string[]
  storages: string[]
  uses: LayerUse[]
  /** Each layer that is there: of which others it was made, and whether all apps share it. */
  layers: Map<string, { madeFrom: string[]; shared: boolean }>
  sizes: ReadonlyMap<string, Size>
}

export type LedgerLayer = {
  key: string
  kind: string
  label: string
  /** Null until it has been measured. */
  bytes: number | null
  /** Whether it belongs to the host, for all instances on it. */
  shared: boolean
  /** How many releases stand on it. */
  references: number
  /** `shop v3` */
  releases: string[]
  /** Those whose releases stand on it, or whose builds begin with it. */
  apps: string[]
}

export type AppSpace = {
  app: string
  /** Of the layers that its releases and builds need, without those that all of the host share. */
  layers: number
  buildCache: number
  logs: number
  repository: number
  total: number
}

export type DiskReport = {
  free: number
  total: number
  apps: AppSpace[]
  storages: { storage: string; bytes: number }[]
  layers: LedgerLayer[]
  /** Bytes of layers that nothing refers to: they go with the next collection. */
  garbage: number
  /** Bytes of stacks and runtimes. */
  shared: number
}

export function ledger(facts: Facts): DiskReport {
  const { free, total, sizes } = facts
  const size = (name: string) => sizes.get(name)?.bytes ?? 0
  const layers = ledgerLayers(facts)
  const own = ownBytes(layers)
  const apps = facts.apps.map((app) => {
    const parts = {
      layers: own.get(app) ?? 0,
      buildCache: size(`cache ${app}`) + size(`docker ${app}`),
      logs: size(`logs ${app}`),
      repository: size(`repo ${app}`),
    }
    return { app, ...parts, total: sum(Object.values(parts)) }
  })
  return {
    free,
    total,
    apps: apps.sort((a, b) => b.total - a.total),
    storages: facts.storages.map((storage) => ({ storage, bytes: size(`storage ${storage}`) })),
    layers,
    garbage: bytesOf(layers.filter((layer) => !layer.shared && layer.apps.length === 0)),
    shared: bytesOf(layers.filter((layer) => layer.shared)),
  }
}

/** The largest first: apps, storages, and what all apps share. */
export function largestUsers(report: DiskReport, count: number): { name: string; bytes: number }[] {
  const users = [
    ...report.apps.map(({ app, total }) => ({ name: `app ${app}`, bytes: total })),
    ...report.storages.map(({ storage, bytes }) => ({ name: `storage ${storage}`, bytes })),
    { name: 'stacks and runtimes', bytes: report.shared },
  ]
  const some = users.filter(({ bytes }) => bytes > 0)
  return some.sort((a, b) => b.bytes - a.bytes).slice(0, count)
}

/** `812 kB`, `1.4 GB`: powers of 1000, as df -H counts. */
export function showBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1)
  const value = bytes / 1000 ** power
  return `${power > 0 && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[power]}`
}

function ledgerLayers({ uses, layers, sizes }: Facts): LedgerLayer[] {
  const entries = new Map<string, LedgerLayer>()
  for (const [key, { shared }] of layers) {
    const kind = key.split('-')[0] ?? ''
    const bytes = sizes.get(`layer ${key}`)?.bytes ?? null
    const nobody = { references: 0, releases: [], apps: [] }
    entries.set(key, { key, kind, label: 'for builds', bytes, shared, ...nobody })
  }
  for (const { key, kind, label, app, version } of uses) {
    const entry = entries.get(key)
    if (!entry) continue
    const release = `${app} v${version}`
    if (!entry.releases.includes(release)) entry.releases.push(release)
    Object.assign(entry, { kind, label, references: entry.releases.length })
    for (const needed of withOrigins(key, layers)) {
      const apps = entries.get(needed)?.apps
      if (apps && !apps.includes(app)) apps.push(app)
    }
  }
  return [...entries.values()].sort((a, b) => (b.bytes ?? 0) - (a.bytes ?? 0))
}

/** A layer and all that it was made from. */
function withOrigins(key: string, layers: Facts['layers'], seen = new Set<string>()): Set<string> {
  if (seen.has(key)) return seen
  seen.add(key)
  for (const origin of layers.get(key)?.madeFrom ?? []) withOrigins(origin, layers, seen)
  return seen
}

/** By app, what lies on this instance alone. */
function ownBytes(layers: LedgerLayer[]): Map<string, number> {
  const bytes = new Map<string, number>()
  for (const layer of layers) {
    if (layer.shared) continue
    for (const app of layer.apps) bytes.set(app, (bytes.get(app) ?? 0) + (layer.bytes ?? 0))
  }
  return bytes
}

function bytesOf(layers: LedgerLayer[]): number {
  return sum(layers.map(({ bytes }) => bytes ?? 0))
}

function sum(numbers: number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}
