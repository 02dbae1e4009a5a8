import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { errno } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import { pinnedKeys } from './pins.ts'
import { forgetUnsettled } from './settling.ts'

/**
 * Which layers this instance has made, and of which others. Beside each lies a note that says so:
 * what has none was not made here and is left alone. They are read once and then known, for each
 * deploy asks for all of them, and with years of deploys they are many.
 */

const noteEnding = '.from'

type Ledger = Map<string, string[]>
const ledgers = new Map<string, Ledger>()

/** Reads the notes, for boot. Layers that are `needed` and have none are of an older paas. */
export async function openLedger(config: PaasConfig, needed: ReadonlySet<string>): Promise<void> {
  const { layers } = paths(config)
  const names = new Set(await readdir(layers))
  for (const key of needed) {
    const note = `${key}${noteEnding}`
    if (names.has(key) && !names.has(note)) await writeFile(join(layers, note), '')
  }
  // A note without a layer: a kill came before the layer had its name, or when it had lost it.
  for (const name of names) {
    if (isNote(name) && !names.has(keyOf(name))) await rm(join(layers, name), { force: true })
  }
  ledgers.delete(layers)
  ledgerOf(config)
}

/** Leaves the note of a layer that is about to appear. */
export async function noteLayer(config: PaasConfig, key: string, madeFrom: string[]) {
  ledgerOf(config) // read before there is the note, or it would be entered too early
  await writeFile(noteOf(config, key), madeFrom.join('\n'))
}

/** For a layer that has appeared. */
export function enterLayer(config: PaasConfig, key: string, madeFrom: string[]): void {
  ledgerOf(config).set(key, madeFrom)
}

/** The layers of this instance, each with the keys of those that it was made from. */
export function listLayers(config: PaasConfig): ReadonlyMap<string, string[]> {
  return ledgerOf(config)
}

/**
 * Removes this instance's own layers but those in `keepKeys`, those that they were made from and
 * those that a build needs. Shared layers stay. `settledAt` is a time (as `performance.now()` tells
 * it) at which every build that had ended was known to `keepKeys`; without it what builds of the
 * last minutes used stays too. Returns the keys removed.
 */
export async function removeLayers(
  config: PaasConfig,
  keepKeys: ReadonlySet<string>,
  settledAt = -Infinity,
): Promise<string[]> {
  const { layers, making } = paths(config)
  const ledger = ledgerOf(config)
  const keep = withOrigins(ledger, [...keepKeys, ...pinnedKeys(settledAt)])
  const removed = [...ledger.keys()].filter((key) => !keep.has(key))
  if (removed.length === 0) return []
  const bin = join(making, `removed-${randomBytes(6).toString('hex')}`)
  await mkdir(bin, { recursive: true })
  const pinnedSince = new Set(pinnedKeys(settledAt)) // a build may have begun meanwhile
  const gone = removed.filter((key) => !pinnedSince.has(key))
  for (const key of gone) {
    // At once, for a build might make the layer anew in between.
    moveAway(join(layers, key), join(bin, key))
    rmSync(noteOf(config, key), { force: true }) // after the layer: it is what we go by
    forgetUnsettled(config, key)
    ledger.delete(key)
  }
  await rm(bin, { recursive: true, force: true })
  return gone
}

/** The closure of `keys` over what layers were made from. */
function withOrigins(ledger: Ledger, keys: string[]): Set<string> {
  const keep = new Set(keys)
  for (const key of keep) for (const origin of ledger.get(key) ?? []) keep.add(origin)
  return keep
}

function moveAway(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error // somebody has removed it by hand
  }
}

function ledgerOf(config: PaasConfig): Ledger {
  const { layers } = paths(config)
  const known = ledgers.get(layers) ?? readLedger(layers)
  ledgers.set(layers, known)
  return known
}

function readLedger(layers: string): Ledger {
  mkdirSync(layers, { recursive: true })
  const names = new Set(readdirSync(layers))
  const keys = [...names].filter(isNote).map(keyOf)
  const originsOf = (key: string) =>
    readFileSync(join(layers, key + noteEnding), 'utf8')
      .split('\n')
      .filter(Boolean)
  return new Map(keys.filter((key) => names.has(key)).map((key) => [key, originsOf(key)]))
}

function noteOf(config: PaasConfig, key: string): string {
  return join(paths(config).layers, `${key}${noteEnding}`)
}

function isNote(name: string): boolean {
  return name.endsWith(noteEnding)
}

function keyOf(note: string): string {
  return note.slice(0, -noteEnding.length)
}
