import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { readSync, type Stats } from 'node:fs'
import { type Inodes, isKept, opaqueAttribute } from './inodes.ts'
import { padding, tarEnd, type TarEntry, tarHeader } from './tar-header.ts'

/** A layer directory as the tar of an OCI layer: whiteouts in its manner, no times, no devices. */

/** An entry, and the file whose content it has. */
export type LayerEntry = TarEntry & { source?: Buffer }

const chunkBytes = 256 * 1024

/**
 * The archive in pieces of 256 KiB, each a buffer of its own. Equal content gives equal bytes,
 * whoever made the directory and when. Reads synchronously: for a thread of its own.
 */
export function* layerTar(dir: string, inodes: Inodes): Generator<Buffer<ArrayBuffer>> {
  let chunk = newChunk()
  let used = 0
  for (const entry of layerEntries(dir, inodes)) {
    const [head, pad] = [tarHeader(entry), padding(entry.size)]
    const room = head.length + pad + (entry.source ? 0 : entry.size)
    if (used + room > chunkBytes) {
      yield chunk.subarray(0, used)
      ;[chunk, used] = [newChunk(), 0]
    }
    used += head.copy(chunk, used)
    if (!entry.source) continue
    const fd = openSync(entry.source, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      for (let left = entry.size; left > 0;) {
        if (used === chunkBytes) {
          yield chunk
          ;[chunk, used] = [newChunk(), 0]
        }
        const count = readSync(fd, chunk, used, Math.min(left, chunkBytes - used), null)
        if (count === 0) throw new Error(`${entry.path} became shorter while it was read`)
        used += count
        left -= count
      }
    } finally {
      closeSync(fd)
    }
    if (used + pad > chunkBytes) {
      yield chunk.subarray(0, used)
      ;[chunk, used] = [newChunk(), 0]
    }
    chunk.fill(0, used, used + pad)
    used += pad
  }
  yield chunk.subarray(0, used)
  yield Buffer.from(new ArrayBuffer(tarEnd.length)) // zeros, and its receiver's own
}

/** Every entry, parents first, in the order of the bytes of their names. */
export function* layerEntries(dir: string, inodes: Inodes): Generator<LayerEntry> {
  const linked = new Map<number, string>()
  const root = Buffer.from(dir)
  for (const { path, stat } of walk(root, '')) {
    const source = below(root, path)
    const entry = entryOf(path, stat, source, inodes)
    if (!entry) continue
    const first = stat.nlink > 1 && !stat.isDirectory() ? linked.get(stat.ino) : undefined
    if (first !== undefined && entry.kind === 'file') {
      const { source: _source, ...rest } = entry
      yield { ...rest, kind: 'hardlink', size: 0, target: first }
      continue
    }
    if (stat.nlink > 1 && entry.kind === 'file') linked.set(stat.ino, path)
    yield entry
    if (entry.kind === 'directory' && inodes.attributes(source)[opaqueAttribute]) {
      yield whiteout(`${path}/.wh..wh..opq`)
    }
  }
}

/** The bytes of a path within a directory. */
export function below(root: Buffer, path: string): Buffer {
  return path === '' ? root : Buffer.concat([root, slash, Buffer.from(path, 'latin1')])
}

const slash = Buffer.from('/')

/** Sorted as whole paths would be, but for a directory's children, which come right behind it. */
export function* walk(root: Buffer, at: string): Generator<{ path: string; stat: Stats }> {
  for (const name of readdirSync(below(root, at), { encoding: 'latin1' }).sort()) {
    const path = at === '' ? name : `${at}/${name}`
    const stat = lstatSync(below(root, path))
    yield { path, stat }
    if (stat.isDirectory()) yield* walk(root, path)
  }
}

/** Whether a file stands for the removal of that name from the layers below. */
export function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0
}

function entryOf(
  path: string,
  stat: Stats,
  source: Buffer,
  inodes: Inodes,
): LayerEntry | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (name.startsWith('.wh.')) return undefined // it would remove another file
  if (isWhiteout(stat)) return whiteout(`${path.slice(0, -name.length)}.wh.${name}`)
  const common = { path, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, size: 0 }
  if (stat.isSymbolicLink()) {
    const target = readlinkSync(source, { encoding: 'latin1' })
    return { ...common, mode: 0o777, kind: 'symlink', target }
  }
  const kept = Object.entries(inodes.attributes(source)).filter(([key]) => isKept(key))
  const rest = { ...common, ...(kept.length > 0 && { attributes: Object.fromEntries(kept) }) }
  if (stat.isDirectory()) return { ...rest, kind: 'directory' }
  if (stat.isFIFO()) return { ...rest, kind: 'fifo' }
  if (stat.isFile()) return { ...rest, kind: 'file', size: stat.size, source }
  return undefined // devices and sockets: every runtime makes its own
}

function whiteout(path: string): LayerEntry {
  return { path, kind: 'file', mode: 0o644, uid: 0, gid: 0, size: 0 }
}

function newChunk(): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(chunkBytes))
}
