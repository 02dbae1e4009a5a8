import { closeSync, existsSync, openSync, statSync, utimesSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { limits, type PaasConfig } from '../../core/config.ts'
import { errno } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import { replaceFile } from '../../core/whole-file.ts'
import { ownLock, withHostLock } from './host-lock.ts'

/**
 * Layers that all instances on the host share go when none of them needs them. Each instance keeps
 * a file that lists what it needs. What no list has, and nobody has asked for in a week, is removed
 * by whoever looks. A layer without the mark that markUsed leaves was not made by paas and stays.
 */

const usedEnding = '.used'
const lockTimeoutMs = 10_000

/** Notes that somebody has a use for a shared layer now. */
export function markUsed(config: PaasConfig, key: string): void {
  const file = join(paths(config).sharedLayers, `${key}${usedEnding}`)
  const now = new Date()
  try {
    utimesSync(file, now, now)
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    closeSync(openSync(file, 'a', 0o644))
  }
}

/** Tells the other instances which shared layers this one needs. */
export async function noteUses(config: PaasConfig, keys: Iterable<string>): Promise<void> {
  const uses = { home: config.home, keys: [...new Set(keys)] }
  await replaceFile(userFile(config), JSON.stringify(uses))
}

/** For an instance that is removed with all its state. */
export async function forgetUses(config: PaasConfig): Promise<void> {
  await rm(userFile(config), { force: true })
  await rm(join(paths(config).locks, ownLock(config)), { force: true })
}

/** Keys of the shared layers that paas has made. */
export async function listSharedLayers(config: PaasConfig): Promise<string[]> {
  const { sharedLayers } = paths(config)
  const marks = (await names(sharedLayers)).filter((name) => name.endsWith(usedEnding))
  return marks
    .map((mark) => mark.slice(0, -usedEnding.length))
    .filter((key) => existsSync(join(sharedLayers, key)))
}

/**
 * Removes the shared layers that no instance needs and nobody asked for since `unusedSince`
 * (milliseconds since the epoch). Returns their keys.
 */
export async function removeSharedLayers(
  config: PaasConfig,
  signal: AbortSignal,
  unusedSince: number,
): Promise<string[]> {
  const { sharedLayers } = paths(config)
  const needed = await neededByAnybody(config)
  const marks = (await names(sharedLayers)).filter((name) => name.endsWith(usedEnding))
  const removed: string[] = []
  for (const mark of marks) {
    const key = mark.slice(0, -usedEnding.length)
    if (needed.has(key) || usedAt(join(sharedLayers, mark)) > unusedSince) continue
    // Whoever makes a layer holds its lock: what we take away is then made anew, not half seen.
    await withHostLock(config, key, { signal, timeoutMs: lockTimeoutMs }, async () => {
      if (await removeUnlessUsed(config, key, unusedSince)) removed.push(key)
    })
  }
  return removed
}

/** A build may ask for it in this very moment: its mark is looked at again when it is away. */
async function removeUnlessUsed(
  config: PaasConfig,
  key: string,
  unusedSince: number,
): Promise<boolean> {
  const { sharedLayers, sharedMaking } = paths(config)
  const [layer, mark] = [join(sharedLayers, key), join(sharedLayers, `${key}${usedEnding}`)]
  const away = join(sharedMaking, `removed-${key}`)
  await mkdir(sharedMaking, { recursive: true })
  await rm(away, { recursive: true, force: true })
  if (existsSync(layer)) await rename(layer, away)
  if (usedAt(mark) > unusedSince) {
    if (existsSync(away)) await rename(away, layer)
    return false
  }
  await rm(away, { recursive: true, force: true })
  await rm(mark, { force: true })
  return true
}

/** The union of all instances' lists. That of an instance whose state has long gone is dropped. */
async function neededByAnybody(config: PaasConfig): Promise<Set<string>> {
  const { sharedUsers } = paths(config)
  const needed = new Set<string>()
  for (const name of await names(sharedUsers)) {
    if (!name.endsWith('.json')) continue // one that is being written
    const file = join(sharedUsers, name)
    const { home, keys } = readUses(await readFile(file, 'utf8').catch(() => '{}'))
    const gone = home !== undefined && !existsSync(home)
    if (gone && usedAt(file) < Date.now() - limits.instanceGoneMs) await rm(file, { force: true })
    else for (const key of keys) needed.add(key)
  }
  return needed
}

function readUses(text: string): { home: string | undefined; keys: string[] } {
  const value: unknown = JSON.parse(text)
  const list = typeof value === 'object' && value !== null && 'keys' in value ? value.keys : []
  const home = typeof value === 'object' && value !== null && 'home' in value ? value.home : ''
  return {
    home: typeof home === 'string' && home ? home : undefined,
    keys: Array.isArray(list) ? list.filter((key) => typeof key === 'string') : [],
  }
}

function userFile(config: PaasConfig): string {
  return join(paths(config).sharedUsers, `${config.tag}.json`)
}

function usedAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

async function names(dir: string): Promise<string[]> {
  return readdir(dir).catch((error) => {
    if (errno(error) === 'ENOENT') return []
    throw error
  })
}
