import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { lstatSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { limits } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'

/**
 * A read-only view of a user's tree, and the only reader of user files. Paths are relative to its
 * root. Symbolic links are followed inside the tree; one that leads out of it is a Failure.
 */
export type Source = {
  /** The text of a regular file, or undefined when there is none. Failure: not UTF-8, too long. */
  readText(path: string, maxBytes?: number): string | undefined
  isFile(path: string): boolean
  isDirectory(path: string): boolean
  /** Names in a directory, sorted, directories with a trailing slash; none when there is none. */
  list(path?: string): string[]
}

/** Opens a tree that nobody changes any more. */
export function openSource(dir: string): Source {
  const root = realpathSync(dir)
  const stat = (path: string) => {
    const real = resolveInside(root, path)
    return real === undefined ? undefined : statSync(real)
  }
  return {
    readText: (path, maxBytes = limits.userFileBytes) => {
      const real = resolveInside(root, path)
      return real === undefined ? undefined : decode(path, readRegular(real, path, maxBytes))
    },
    isFile: (path) => stat(path)?.isFile() ?? false,
    isDirectory: (path) => stat(path)?.isDirectory() ?? false,
    list: (path = '') => {
      const real = resolveInside(root, path)
      if (real === undefined || !statSync(real).isDirectory()) return []
      const entries = readdirSync(real, { withFileTypes: true })
      return entries.map((entry) => entry.name + (entry.isDirectory() ? '/' : '')).sort()
    },
  }
}

/** The first bytes of a file that is a regular file itself, for telling what it is. */
export function readHead(dir: string, path: string, bytes: number): string {
  if (!lstatSync(join(dir, path)).isFile()) return ''
  const file = openSync(join(dir, path), constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const buffer = Buffer.alloc(bytes)
    return buffer.toString('latin1', 0, readSync(file, buffer, 0, bytes, 0))
  } finally {
    closeSync(file)
  }
}

function resolveInside(root: string, path: string): string | undefined {
  const asked = join(root, path)
  const real = follow(asked, path)
  if (real === undefined) return undefined
  if (real === root || real.startsWith(`${root}/`)) return real
  throw leadsOut(path)
}

function follow(asked: string, path: string): string | undefined {
  try {
    return realpathSync(asked)
  } catch (error) {
    const code = errno(error)
    if (code === 'ENOENT' && !lstatSync(asked, { throwIfNoEntry: false })) return undefined
    if (code === 'ENOTDIR') return undefined
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'EACCES') throw leadsOut(path)
    throw error
  }
}

function leadsOut(path: string): Failure {
  return new Failure('failed', `${path} is a symbolic link that leads out of the repository`, {
    hint: `Commit ${path} as a file`,
  })
}

/** O_NONBLOCK: a FIFO must not hold the daemon before we have seen that it is one. */
function readRegular(real: string, path: string, maxBytes: number): Buffer {
  const file = openSync(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(file)
    if (!stat.isFile()) {
      const kind = stat.isDirectory() ? 'a directory' : 'not a regular file'
      throw new Failure('failed', `${path} is ${kind}: expected a text file`)
    }
    if (stat.size > maxBytes) {
      const seen = `${stat.size} bytes: at most ${maxBytes} are read`
      throw new Failure('failed', `${path} is ${seen}`)
    }
    const buffer = Buffer.alloc(stat.size)
    return buffer.subarray(0, readSync(file, buffer, 0, stat.size, 0))
  } finally {
    closeSync(file)
  }
}

function decode(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new Failure('failed', `${path} is not UTF-8 text`, {
      hint: `Save ${path} as UTF-8 and push again`,
      cause,
    })
  }
}
