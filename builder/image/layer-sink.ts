import { chmodSync, chownSync, closeSync, constants, fchmodSync, fchownSync } from 'node:fs'
import { futimesSync, lchownSync, lutimesSync, openSync, symlinkSync } from 'node:fs'
import { utimesSync, writeSync } from 'node:fs'
import { Failure } from '../../core/errors.ts'
import { type Inodes, isKept } from './inodes.ts'
import { below } from './layer-tar.ts'
import {
  isDirectory,
  join,
  linkIn,
  makeDirectory,
  makeRoom,
  openTree,
  parentIn,
} from './layer-tree.ts'
import { partsOf, type Tree, whiteoutIn } from './layer-tree.ts'
import type { UnpackJob } from './layer-work.ts'
import { mergedView } from './merged.ts'
import type { ReadEntry, TarSink } from './tar-reader.ts'

/** Ids that a container knows; on disk the one above them is the host's own root. */
const idMost = 65_535
const nobody = 65_534

const newFile = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

type State = {
  tree: Tree
  warnings: Set<string>
  /** Times of directories, which the files that come into them would change. */
  times: Map<string, number>
  file: { fd: number; path: Buffer } | undefined
}

/**
 * Writes the entries of a layer's tar below `job.dir`, and nowhere else: the kernel never follows a
 * link of the archive. Whiteouts become the overlay's. What no layer may have is left out with a
 * warning, or is a Failure. `count` is told of what is copied from the layers below.
 */
export function openLayerSink(job: UnpackJob, inodes: Inodes, count: Tree['count']) {
  const [root, under] = [Buffer.from(job.dir), mergedView(job.lowers, inodes)]
  const tree = openTree({ root, under, inodes, count })
  const state: State = { tree, warnings: new Set(), times: new Map(), file: undefined }
  let entries = 0

  function close(): void {
    if (state.file) closeSync(state.file.fd)
    state.file = undefined
  }

  const sink: TarSink = {
    begin(entry) {
      entries += 1
      if (entries > job.entriesMost) {
        throw new Failure('failed', `The image is too large: over ${job.entriesMost} files in it`)
      }
      place(state, withKnownIds(state, entry))
    },
    content(piece) {
      if (!state.file) return
      const { fd } = state.file
      for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done)
    },
    end(entry) {
      if (state.file) finishFile(state.file, withKnownIds(state, entry), inodes)
      close()
    },
  }
  return {
    ...sink,
    close,
    finish() {
      for (const [path, mtime] of state.times) {
        if (isDirectory(tree, path)) utimesSync(below(tree.root, path), mtime, mtime)
      }
      return { entries, warnings: [...state.warnings] }
    },
  }
}

function place(state: State, entry: ReadEntry): void {
  const { tree } = state
  const parts = partsOf(entry.path)
  const name = parts.pop()
  if (name === undefined) return // the root itself
  if (name.startsWith('.wh.')) return whiteoutIn(tree, parts, name.slice('.wh.'.length))
  if (entry.kind === 'device' || entry.kind === 'fifo') {
    state.warnings.add('Devices and pipes of the image are left out')
    return
  }
  const path = join(parentIn(tree, parts), name)
  if (entry.kind === 'hardlink') return linkIn(tree, path, partsOf(entry.target))
  if (entry.kind === 'directory') {
    setFacts(makeDirectory(tree, path), entry, tree.inodes)
    state.times.set(path, entry.mtime)
  } else if (entry.kind === 'symlink') {
    makeLink(makeRoom(tree, path), entry)
  } else {
    const file = makeRoom(tree, path)
    state.file = { fd: openSync(file, newFile, 0o600), path: file }
  }
}

function withKnownIds({ warnings }: State, entry: ReadEntry): ReadEntry {
  if (entry.uid <= idMost && entry.gid <= idMost) return entry
  warnings.add(`Files of users and groups above ${idMost} belong to nobody`)
  const id = (wanted: number) => (wanted > idMost ? nobody : wanted)
  return { ...entry, uid: id(entry.uid), gid: id(entry.gid) }
}

function setFacts(file: Buffer, entry: ReadEntry, inodes: Inodes): void {
  chownSync(file, entry.uid, entry.gid)
  chmodSync(file, entry.mode)
  setAttributes(file, entry, inodes)
}

function makeLink(file: Buffer, { target, uid, gid, mtime }: ReadEntry): void {
  symlinkSync(Buffer.from(target, 'latin1'), file)
  lchownSync(file, uid, gid)
  lutimesSync(file, mtime, mtime)
}

/** The owner first: a change of it takes setuid bits and capabilities away. */
function finishFile(
  { fd, path }: { fd: number; path: Buffer },
  entry: ReadEntry,
  inodes: Inodes,
): void {
  fchownSync(fd, entry.uid, entry.gid)
  fchmodSync(fd, entry.mode)
  setAttributes(path, entry, inodes)
  futimesSync(fd, entry.mtime, entry.mtime)
}

function setAttributes(file: Buffer, { attributes }: ReadEntry, inodes: Inodes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (isKept(name)) inodes.setAttribute(file, name, value)
  }
}
