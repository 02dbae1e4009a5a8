import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../core/config.ts'
import { errno, Failure, stopIfCancelled } from '../../core/errors.ts'

/**
 * A read-only view of a user's tree, and the only reader of user files. Paths are relative to its
 * root. Symbolic links are followed inside the tree; one that leads out of it is a Failure.
 */
export type Source = {
  /** The text of a regular file, or undefined when there is none. Failure: not UTF-8, too long. */
  readText(path: string, maxBytes?: number): string | undefined
  isFile(path: string): boolean
  isDirectory(path: string): boolean
  /** The bytes of a regular file and whether it may be run, or undefined when there is none. */
  read(path: string): { bytes: Buffer; executable: boolean } | undefined
  /** Names in a directory, sorted, directories with a trailing slash; none when there is none. */
  list(path?: string): string[]
}

/** A source that lies on the host's disk. */
export type Tree = Source & {
  /** Where a regular file lies, whatever its size, or undefined when there is none. */
  file(path: string): SourceFile | undefined
}

/** `at` is its path on the host, without links. */
export type SourceFile = { at: string; bytes: number; executable: boolean }

/** Opens a tree that nobody changes any more. */
export function openSource(dir: string): Tree {
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
    read: (path) => {
      const real = resolveInside(root, path)
      if (real === undefined) return undefined
      const { executable } = fileAt(real, path)
      return { bytes: readRegular(real, path, limits.userFileBytes), executable }
    },
    file: (path) => {
      const real = resolveInside(root, path)
      return real === undefined ? undefined : fileAt(real, path)
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

/** What decides whether a file is the same as before. */
export type FileFacts = { sha256: string; executable: boolean }

/**
 * The facts of files by their paths; a path that ends in a slash is a directory with all below it.
 * Failure: more than 10,000 files, or more in them than a tree may have.
 */
export async function factsOf(
  source: Tree,
  paths: string[],
  signal: AbortSignal,
): Promise<Record<string, FileFacts>> {
  const all = paths.flatMap((path) => (path.endsWith('/') ? filesBelow(source, path) : [path]))
  const files = all.flatMap((path) => {
    const file = source.file(path)
    return file ? [{ path, ...file }] : []
  })
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0) // links may lead to one many times
  if (bytes > limits.treeBytes) {
    throw new Failure('failed', `The files to install from have ${bytes} bytes: too many`, {
      hint: `At most ${limits.treeBytes} are taken`,
    })
  }
  const found: [string, FileFacts][] = []
  for (const { path, at, bytes: size, executable } of files) {
    stopIfCancelled(signal)
    found.push([path, { sha256: await hashOf(at, size), executable }])
  }
  return Object.fromEntries(found)
}

/** A piece at a time, for the daemon has more to do. */
async function hashOf(at: string, bytes: number): Promise<string> {
  await using file = await open(at, constants.O_RDONLY | constants.O_NOFOLLOW)
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(Math.min(bytes + 1, hashedAtOnce))
  for (;;) {
    const { bytesRead } = await file.read(buffer)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, bytesRead))
  }
}

const hashedAtOnce = 1024 * 1024

/** The paths of all files below a directory (`''` for the root), directories that are links not. */
export function filesBelow(source: Source, directory: string): string[] {
  const files: string[] = []
  const waiting = [directory]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const name of source.list(next)) {
      const path = `${next}${name}`
      if (name.endsWith('/')) waiting.push(path)
      else if (source.isFile(path)) files.push(path)
    }
    if (files.length + waiting.length > filesMost) {
      throw new Failure('failed', `${directory} has more than ${filesMost} files to install from`)
    }
  }
  return files.sort()
}

const filesMost = 10_000

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

function fileAt(real: string, path: string): SourceFile {
  const { mode, size } = requireRegular(statSync(real), path)
  return { at: real, bytes: size, executable: (mode & 0o100) !== 0 }
}

function requireRegular(stat: Stats, path: string): Stats {
  if (stat.isFile()) return stat
  const kind = stat.isDirectory() ? 'a directory' : 'not a regular file'
  throw new Failure('failed', `${path} is ${kind}: expected a text file`)
}

/** O_NONBLOCK: a FIFO must not hold the daemon before we have seen that it is one. */
function readRegular(real: string, path: string, maxBytes: number): Buffer {
  const file = openSync(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = requireRegular(fstatSync(file), path)
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
