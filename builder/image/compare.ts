import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { readSync, type Stats } from 'node:fs'
import { type Inodes, opaqueAttribute } from './inodes.ts'
import { below, isWhiteout } from './layer-tar.ts'
import type { CompareJob, Difference } from './layer-work.ts'

const chunkBytes = 256 * 1024

/**
 * The paths that two layer directories differ in, parents first: `most` of them, and one more where
 * there are more. A directory that is not given counts as empty. Times do not count: no image has
 * them. Links are never followed.
 */
export function compareDirectories(job: CompareJob, inodes: Inodes): Difference[] {
  const [before, after] = [job.before, job.after].map((dir) => {
    return dir === undefined ? undefined : Buffer.from(dir)
  })
  const found: Difference[] = []
  for (const difference of differences({ before, after, path: '' }, inodes)) {
    found.push(difference)
    if (found.length > job.most) break
  }
  return found
}

/** A directory of both sides; undefined where that side has none there. */
type Pair = { before: Buffer | undefined; after: Buffer | undefined; path: string }

function* differences({ before, after, path }: Pair, inodes: Inodes): Generator<Difference> {
  const names = new Set([...namesIn(before), ...namesIn(after)])
  const here = { before: new Set(namesIn(before)), after: new Set(namesIn(after)) }
  for (const name of [...names].sort()) {
    const at = path === '' ? name : `${path}/${name}`
    const one = before && here.before.has(name) ? fileAt(before, name) : undefined
    const two = after && here.after.has(name) ? fileAt(after, name) : undefined
    const change = !one
      ? 'added'
      : !two
        ? 'removed'
        : isSame(one, two, inodes)
          ? undefined
          : 'changed'
    if (change) yield { change, path: readable(at) }
    const [down, up] = [one, two].map((file) => (file?.stat.isDirectory() ? file.file : undefined))
    if (down || up) yield* differences({ before: down, after: up, path: at }, inodes)
  }
}

type File = { file: Buffer; stat: Stats }

function namesIn(dir: Buffer | undefined): string[] {
  return dir ? readdirSync(dir, { encoding: 'latin1' }) : []
}

function fileAt(dir: Buffer, name: string): File {
  const file = below(dir, name)
  return { file, stat: lstatSync(file) }
}

function isSame(a: File, b: File, inodes: Inodes): boolean {
  const keys = ['mode', 'uid', 'gid', 'rdev'] as const
  if (keys.some((key) => a.stat[key] !== b.stat[key])) return false
  if (a.stat.isSymbolicLink()) return linkOf(a) === linkOf(b)
  if (a.stat.isDirectory()) return isOpaque(a, inodes) === isOpaque(b, inodes)
  if (!a.stat.isFile() || isWhiteout(a.stat)) return true
  return a.stat.size === b.stat.size && isSameContent(a.file, b.file)
}

function linkOf({ file }: File): string {
  return readlinkSync(file, { encoding: 'latin1' })
}

function isOpaque({ file }: File, inodes: Inodes): boolean {
  return inodes.attributes(file)[opaqueAttribute] !== undefined
}

function isSameContent(one: Buffer, two: Buffer): boolean {
  using files = new DisposableStack()
  const open = (path: Buffer) => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    files.defer(() => closeSync(fd))
    const chunk = Buffer.alloc(chunkBytes)
    return () => chunk.subarray(0, readSync(fd, chunk))
  }
  const [read, readOther] = [open(one), open(two)]
  for (;;) {
    const piece = read()
    if (!piece.equals(readOther())) return false
    if (piece.length === 0) return true
  }
}

/** As text: until here a path was bytes. */
function readable(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8')
}
