import { lstatSync, readFileSync, readlinkSync, type Stats } from 'node:fs'
import { errno, Failure } from '../../core/errors.ts'
import { type Inodes, opaqueAttribute } from './inodes.ts'
import { below, isWhiteout } from './layer-tar.ts'
import type { ReadJob } from './layer-work.ts'

/** Layer directories as an overlay of them would show them, without one. Links stay within. */
export type Merged = {
  /** What a path, without links on its way, is seen as; undefined where nothing is seen. */
  find(path: string): Found | undefined
  /** Where a path leads to when links are followed; undefined where nothing is. */
  follow(path: string): Found | undefined
}

export type Found = { path: string; file: Buffer; stat: Stats }

const linksMost = 40

/** `dirs` lie lowest first. Paths are bytes in latin1 text, relative to the root. */
export function mergedView(dirs: string[], inodes: Inodes): Merged {
  const roots = dirs.toReversed().map((dir) => Buffer.from(dir))

  function find(path: string): Found | undefined {
    for (const root of roots) {
      const seen = findIn(root, path, inodes)
      if (seen === 'hidden') return undefined
      if (seen) return { path, ...seen }
    }
    return undefined
  }

  return {
    find,
    follow(path) {
      const reached = walkLinks(path.split('/'), (at) => {
        const found = find(at)
        return found?.stat.isSymbolicLink() ? { link: readTarget(found.file) } : {}
      })
      return find(reached)
    },
  }
}

/** The text of a regular file of an image, links followed; undefined when there is none. */
export function readMerged({ dirs, path, bytesMost }: ReadJob, inodes: Inodes): string | undefined {
  const found = mergedView(dirs, inodes).follow(path)
  if (!found?.stat.isFile() || found.stat.size > bytesMost) return undefined
  return readFileSync(found.file, 'utf8')
}

/**
 * Follows a path through links as from within the root that it belongs to. `look` tells of each
 * part on the way whether it is a link. Failure: more links than any sane path has.
 */
export function walkLinks(parts: string[], look: (path: string) => { link?: string }): string {
  const way = [...parts]
  let at = ''
  let links = 0
  for (let name = way.shift(); name !== undefined; name = way.shift()) {
    if (name === '' || name === '.') continue
    if (name === '..') {
      at = at.includes('/') ? at.slice(0, at.lastIndexOf('/')) : ''
      continue
    }
    const next = at === '' ? name : `${at}/${name}`
    const { link } = look(next)
    if (link === undefined) {
      at = next
      continue
    }
    if (++links > linksMost)
      throw new Failure('failed', 'A path of the image has links in a circle')
    if (link.startsWith('/')) at = ''
    way.unshift(...link.split('/'))
  }
  return at
}

export function readTarget(file: Buffer): string {
  return readlinkSync(file, { encoding: 'latin1' })
}

/** `hidden`: this layer decides that nothing is seen there, whatever the layers below have. */
function findIn(
  root: Buffer,
  path: string,
  inodes: Inodes,
): Omit<Found, 'path'> | 'hidden' | undefined {
  const parts = path.split('/')
  let opaque = false
  for (let count = 1; count <= parts.length; count++) {
    const file = below(root, parts.slice(0, count).join('/'))
    const stat = statOf(file)
    if (!stat) return opaque ? 'hidden' : undefined
    if (isWhiteout(stat)) return 'hidden'
    if (count === parts.length) return { file, stat }
    if (!stat.isDirectory()) return 'hidden'
    opaque ||= inodes.attributes(file)[opaqueAttribute] !== undefined
  }
  return undefined
}

/** Of a file whose parent is known to be a directory itself. */
export function statOf(file: Buffer): Stats | undefined {
  try {
    return lstatSync(file)
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}
