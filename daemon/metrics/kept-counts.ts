import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import type { AccessPosition } from '../../router/access-log.ts'
import type { Daemon } from '../daemon.ts'
import type { Counts } from './metrics.ts'

/**
 * What was counted, and how much of the router's log that covers, so that a restart of the daemon
 * counts on: a counter that goes back a little looks to Prometheus like a flood of requests.
 */
export type Kept = { position: AccessPosition; counts: Counts }

const keepMs = 30_000

/** Writes the counts down from time to time, and soon after each death; `position` goes along. */
export function openKeeper(
  { config, metrics }: Pick<Daemon, 'config' | 'metrics'>,
  position: () => AccessPosition,
) {
  const file = fileOf(config)
  const deaths = () => metrics.deaths().reduce((sum, { count }) => sum + count, 0)
  let [keptAt, deathsKept] = [0, 0]

  function keep(): void {
    const kept: Kept = { position: position(), counts: metrics.counts() }
    writeFileSync(`${file}.new`, JSON.stringify(kept), { mode: 0o600 })
    renameSync(`${file}.new`, file)
    keptAt = Date.now()
    deathsKept = deaths()
  }

  keep()
  return {
    keep,
    look(): void {
      if (deaths() !== deathsKept || Date.now() - keptAt > keepMs) keep()
    },
  }
}

/** Undefined after a reboot, or for a file of another paas. */
export function readKept(config: PaasConfig): Kept | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(fileOf(config), 'utf8'))
    return isKept(value) ? value : undefined
  } catch {
    return undefined
  }
}

function fileOf(config: PaasConfig): string {
  return join(paths(config).run, 'counts.json')
}

function isKept(value: unknown): value is Kept {
  if (!has(value, 'position') || !has(value, 'counts')) return false
  const { position, counts } = value
  const isPlace = has(position, 'inode') && has(position, 'offset')
  if (!isPlace || !has(counts, 'series') || !has(counts, 'deaths')) return false
  return Array.isArray(counts.series) && counts.series.every(isSeries) && isDeaths(counts.deaths)
}

function isSeries(value: unknown): boolean {
  const texts = has(value, 'app') && has(value, 'process')
  return texts && has(value, 'release') && has(value, 'total') && has(value, 'classes')
}

function isDeaths(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => Array.isArray(one) && one.length === 2)
}

function has<K extends string>(value: unknown, key: K): value is Record<K, unknown> {
  return typeof value === 'object' && value !== null && key in value
}
