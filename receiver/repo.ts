import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { diskFull, errno, Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { gitEnvironment, initArgs } from './git.ts'

/** Makes the bare repository at `path` unless it is there. Atomic: made beside and renamed. */
export async function ensureRepo(path: string): Promise<void> {
  if (await exists(join(path, 'HEAD'))) return
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.new-${randomBytes(4).toString('hex')}`
  try {
    await exec('git', initArgs(beside), { env: gitEnvironment() })
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { recursive: true, force: true })
    if (isTaken(error)) return // somebody made it meanwhile
    throw saysFull(error) ? diskFull(error) : error
  }
}

/** Removes the half-made repositories that a kill has left in `dir`. Returns how many. */
export async function sweepHalfMade(dir: string): Promise<number> {
  const found = await children(dir, /\.new-[0-9a-f]{8}$/)
  for (const item of found) await rm(item, { recursive: true, force: true })
  return found.length
}

/**
 * Removes what a killed push left in the repository at `path`: quarantines, half packs, locks.
 * Returns how many. Call it only while no push to `path` runs.
 */
export async function sweepRepo(path: string): Promise<number> {
  const objects = await children(join(path, 'objects'), /^(tmp_objdir-|tmp_|incoming-)/)
  const packs = await children(join(path, 'objects', 'pack'), /^(tmp_|\.tmp-)/)
  const locks = (await children(path, /\.lock$/)).concat(await refLocks(join(path, 'refs')))
  const found = [...objects, ...packs, ...locks]
  for (const item of found) await rm(item, { recursive: true, force: true })
  return found.length
}

async function refLocks(dir: string): Promise<string[]> {
  const names = await children(dir, /./)
  const locks: string[] = []
  for (const name of names) {
    if (name.endsWith('.lock')) locks.push(name)
    else if ((await stat(name)).isDirectory()) locks.push(...(await refLocks(name)))
  }
  return locks
}

/** Full paths of the entries of `dir` that fit; none when there is no such directory. */
async function children(dir: string, fits: RegExp): Promise<string[]> {
  try {
    const names = await readdir(dir)
    return names.filter((name) => fits.test(name)).map((name) => join(dir, name))
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}

function isTaken(error: unknown): boolean {
  return ['ENOTEMPTY', 'EEXIST'].includes(errno(error) ?? '')
}

/** git has but its own words for it. */
function saysFull(error: unknown): boolean {
  return error instanceof Failure && error.message.includes('No space left on device')
}
