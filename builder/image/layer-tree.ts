import { chmodSync, chownSync, copyFileSync, lchownSync, linkSync, mkdirSync } from 'node:fs'
import { readdirSync, rmSync, type Stats, symlinkSync } from 'node:fs'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import { type Inodes, opaqueAttribute } from './inodes.ts'
import { below, isWhiteout } from './layer-tar.ts'
import { type Found, type Merged, readTarget, statOf, walkLinks } from './merged.ts'

/**
 * A layer directory that is being filled upon the layers `under` it. Paths are bytes in latin1
 * text, relative to its root, and have no links on their way once `parentIn` has given them.
 */
export type Tree = {
  root: Buffer
  under: Merged
  inodes: Inodes
  /** Told of bytes before they are written; throws when they are too many. */
  count: (bytes: number) => void
  /** Parents that were led to already, by how they were written. */
  parents: Map<string, string>
  /** Copies of files of the layers below, by their paths there. */
  copies: Map<string, Buffer>
  /** What this layer made, where the directory held the files of others before it. */
  made: Set<string> | undefined
}

export function openTree(opened: Pick<Tree, 'root' | 'under' | 'inodes' | 'count'>): Tree {
  const made = readdirSync(opened.root).length > 0 ? new Set<string>() : undefined
  return { ...opened, parents: new Map(), copies: new Map(), made }
}

/** Whether a path is a directory of this layer still, and so is all on the way to it. */
export function isDirectory({ root }: Tree, path: string): boolean {
  const parts = path.split('/')
  const ways = parts.map((_, at) => parts.slice(0, at + 1).join('/'))
  return ways.every((way) => statOf(below(root, way))?.isDirectory())
}

/** Where a directory of the archive really lies; made as it is below where it is missing. */
export function parentIn(tree: Tree, parts: string[]): string {
  const written = parts.join('/')
  const before = tree.parents.get(written)
  if (before !== undefined) return before
  const path = walkLinks(parts, (at) => {
    const mine = statOf(below(tree.root, at))
    if (mine?.isSymbolicLink()) return { link: readTarget(below(tree.root, at)) }
    if (mine?.isDirectory()) return {}
    const lower = mine ? undefined : tree.under.find(at)
    if (lower?.stat.isSymbolicLink()) return { link: readTarget(lower.file) }
    const other = mine && !isWhiteout(mine) ? mine : lower?.stat
    if (other && !other.isDirectory()) throw refused(at, 'is a file and a directory')
    // Without the owner and mode of the one below it would hide them.
    copyFacts(lower?.stat, makeDirectory(tree, at))
    return {}
  })
  tree.parents.set(written, path)
  return path
}

/** The directory at `path`, there already or new; it hides what a file there hid before. */
export function makeDirectory(tree: Tree, path: string): Buffer {
  const file = below(tree.root, path)
  tree.made?.add(path)
  const before = statOf(file)
  if (before?.isDirectory()) return file
  if (before) remove(tree, path)
  mkdirSync(file)
  if (before) hideBelow(tree, path)
  return file
}

/** Makes room for a file that is no directory, and returns its path. */
export function makeRoom(tree: Tree, path: string): Buffer {
  const file = below(tree.root, path)
  tree.made?.add(path)
  if (statOf(file)) remove(tree, path)
  return file
}

/** Makes a second name for a file of this layer, or a copy of one of a layer below. */
export function linkIn(tree: Tree, path: string, target: string[]): void {
  const name = target.at(-1) ?? ''
  const from = join(parentIn(tree, target.slice(0, -1)), name)
  const mine = statOf(below(tree.root, from))
  const lower = mine ? undefined : tree.under.find(from)
  const stat = mine ?? lower?.stat
  if (!stat || stat.isDirectory() || isWhiteout(stat)) {
    throw refused(path, `is a hard link to "${readable(from)}", which is no file`)
  }
  if (from === path) return
  const file = makeRoom(tree, path)
  if (!lower) return linkSync(below(tree.root, from), file)
  if (stat.isSymbolicLink()) {
    symlinkSync(Buffer.from(readTarget(lower.file), 'latin1'), file)
    lchownSync(file, stat.uid, stat.gid)
  } else if (stat.isFile()) {
    copyOnce(tree, lower, file)
  }
}

/** However many names a layer gives to a file below, its bytes are here once. */
function copyOnce(tree: Tree, lower: Found, file: Buffer): void {
  const first = tree.copies.get(lower.path)
  if (first) return linkSync(first, file)
  tree.count(lower.stat.size)
  copyFileSync(lower.file, file)
  copyFacts(lower.stat, file)
  tree.copies.set(lower.path, file)
}

/** Hides a name of the layers below, or with `.wh..opq` all that they have in a directory. */
export function whiteoutIn(tree: Tree, parts: string[], name: string): void {
  const dir = parentIn(tree, parts)
  if (name === '.wh..opq') return makeOpaque(tree, dir)
  if (name.startsWith('.wh.')) return // other notes of an old file system
  if (name === '' || name === '.' || name === '..') {
    throw refused(join(dir, '.wh.'), 'removes no file that can be')
  }
  const path = join(dir, name)
  const mine = statOf(below(tree.root, path))
  if (mine && (!tree.made || tree.made.has(path))) return // a layer removes nothing of its own
  if (mine) remove(tree, path)
  if (tree.under.find(path)) tree.inodes.makeWhiteout(below(tree.root, path))
}

function makeOpaque(tree: Tree, dir: string): void {
  const names = tree.made ? readdirSync(below(tree.root, dir), { encoding: 'latin1' }) : []
  for (const path of names.map((name) => join(dir, name))) {
    if (!tree.made?.has(path)) remove(tree, path)
  }
  hideBelow(tree, dir)
}

function hideBelow({ root, under, inodes }: Tree, dir: string): void {
  if (dir === '' || !under.find(dir)?.stat.isDirectory()) return
  inodes.setAttribute(below(root, dir), opaqueAttribute, Buffer.from('y'))
}

function remove(tree: Tree, path: string): void {
  rmSync(below(tree.root, path), { recursive: true })
  tree.parents.clear()
  tree.copies.clear()
}

export function join(dir: string, name: string): string {
  return dir === '' ? name : `${dir}/${name}`
}

/** Names on the way to a file; a Failure when the way leads out of the layer. */
export function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (path.startsWith('/') || parts.includes('..')) throw refused(path, 'leads out of the image')
  if (path.includes('\0')) throw refused(path, 'is no path')
  return parts
}

function refused(path: string, why: string): Failure {
  return new Failure('failed', `The image is not taken: "${readable(path)}" in a layer ${why}`)
}

function copyFacts(stat: Stats | undefined, file: Buffer): void {
  if (!stat) return
  chownSync(file, stat.uid, stat.gid)
  chmodSync(file, stat.mode & 0o7777)
}

function readable(path: string): string {
  return printable(Buffer.from(path, 'latin1').toString('utf8'))
}
