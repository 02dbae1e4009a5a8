import { Failure } from '../../core/errors.ts'
import { blockBytes, padding } from './tar-header.ts'

/** Reads archives of anybody's: ustar, pax and GNU's long names. */

export type ReadEntry = {
  /** Bytes as latin1 text, as the archive has them: `..` and slashes at both ends included. */
  path: string
  kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'device'
  mode: number
  uid: number
  gid: number
  size: number
  /** Seconds since the epoch. */
  mtime: number
  target: string
  attributes: Record<string, Buffer>
}

/** What takes an entry: its content comes in pieces, which are not kept by the reader. */
export type TarSink = {
  begin(entry: ReadEntry): void
  content(piece: Buffer): void
  end(entry: ReadEntry): void
}

const metadataBytesMost = 1024 * 1024

/**
 * Hands every entry of an archive to `sink`, in order. `write` takes the archive's bytes as they
 * come, `end` is to be called behind the last. Failure: what it is given is no such archive.
 */
export function openTarReader(sink: TarSink) {
  const head = Buffer.alloc(blockBytes)
  const state: State = { used: 0, left: 0, pad: 0, isOver: false }
  let next: Records = {}

  function finishEntry(): void {
    if (state.entry) sink.end(state.entry)
    if (state.meta) next = addRecords(next, state.meta.type, Buffer.concat(state.meta.pieces))
    delete state.entry
    delete state.meta
  }

  function takeHeader(): void {
    state.used = 0
    if (head.every((byte) => byte === 0)) {
      state.isOver = true
      return
    }
    const { type, ...entry } = parseHeader(head, next)
    state.left = entry.size
    state.pad = padding(entry.size)
    if ('xgLK'.includes(type)) {
      if (entry.size > metadataBytesMost) throw broken(`${entry.size} bytes about one file`)
      state.meta = { type, pieces: [] }
    } else {
      state.entry = entry
      next = {}
      sink.begin(entry)
    }
    if (state.left === 0) finishEntry()
  }

  function takeContent(data: Buffer, at: number): number {
    const count = Math.min(state.left, data.length - at)
    const piece = data.subarray(at, at + count)
    if (state.entry) sink.content(piece)
    else state.meta?.pieces.push(Buffer.from(piece))
    state.left -= count
    if (state.left === 0) finishEntry()
    return count
  }

  return {
    write(data: Buffer): void {
      let at = 0
      while (at < data.length && !state.isOver) {
        if (state.left > 0) {
          at += takeContent(data, at)
        } else if (state.pad > 0) {
          const count = Math.min(state.pad, data.length - at)
          state.pad -= count
          at += count
        } else {
          const count = data.copy(head, state.used, at, at + blockBytes - state.used)
          state.used += count
          at += count
          if (state.used === blockBytes) takeHeader()
        }
      }
    },
    end(): void {
      if (state.left > 0 || state.used > 0) throw broken('it ends in the middle of a file')
    },
  }
}

type State = {
  /** Bytes of a header that have come. */
  used: number
  /** Bytes that are still to come of the content, and then of its padding. */
  left: number
  pad: number
  isOver: boolean
  entry?: ReadEntry
  meta?: { type: string; pieces: Buffer[] }
}

type Records = Record<string, Buffer>

function addRecords(next: Records, type: string, content: Buffer): Records {
  if (type === 'g') return next // of all entries that follow: nobody has them say anything of use
  if (type === 'x') return { ...next, ...paxRecords(content) }
  return { ...next, [type === 'L' ? 'path' : 'linkpath']: upToZero(content) }
}

const kinds: Record<string, ReadEntry['kind']> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'fifo',
}

function parseHeader(head: Buffer, records: Records): ReadEntry & { type: string } {
  checkSum(head)
  const type = head.toString('latin1', 156, 157)
  const kind = kinds[type]
  if ('GNU.sparse.major' in records || 'GNU.sparse.map' in records || type === 'S') {
    throw broken('it has sparse files, which are not taken')
  }
  if (!kind && !'xgLK'.includes(type)) throw broken(`it has an entry of type "${type}"`)
  const isUstar = head.toString('latin1', 257, 262) === 'ustar'
  const isGnu = head.toString('latin1', 257, 264) === 'ustar  '
  const prefix = isUstar && !isGnu ? text(head, 345, 155) : ''
  const name = text(head, 0, 100)
  const path = records.path?.toString('latin1') ?? (prefix ? `${prefix}/${name}` : name)
  const isOldDirectory = kind === 'file' && path.endsWith('/')
  const hasContent = kind === undefined || kind === 'file'
  const size = decimal(records.size) ?? number(head, 124, 12)
  return {
    type,
    path,
    kind: isOldDirectory ? 'directory' : (kind ?? 'file'),
    mode: number(head, 100, 8) & 0o7777,
    uid: decimal(records.uid) ?? number(head, 108, 8),
    gid: decimal(records.gid) ?? number(head, 116, 8),
    size: hasContent ? size : 0,
    mtime: timeOf(head, records),
    target: records.linkpath?.toString('latin1') ?? text(head, 157, 100),
    attributes: attributesOf(records),
  }
}

function attributesOf(records: Records): Record<string, Buffer> {
  const prefix = 'SCHILY.xattr.'
  const found = Object.entries(records).filter(([key]) => key.startsWith(prefix))
  return Object.fromEntries(found.map(([key, value]) => [key.slice(prefix.length), value]))
}

/** Any record of `<length> <key>=<value>\n`. */
function paxRecords(content: Buffer): Records {
  const records: [string, Buffer][] = []
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at)
    const length = space === -1 ? NaN : Number(content.toString('latin1', at, space))
    const equals = content.indexOf(0x3d, space)
    const end = at + length
    if (!(length > 0 && end <= content.length && equals > space && equals < end)) {
      throw broken('a record of it is no key and value')
    }
    records.push([
      content.toString('latin1', space + 1, equals),
      content.subarray(equals + 1, end - 1),
    ])
    at = end
  }
  return Object.fromEntries(records)
}

function checkSum(head: Buffer): void {
  const told = number(head, 148, 8)
  const sum = head.reduce((total, byte) => total + byte, 0)
  const without = head.subarray(148, 156).reduce((total, byte) => total + byte, 0)
  if (told !== sum - without + 8 * 0x20) throw broken('the checksum of an entry is wrong')
}

/** Octal digits, or GNU's big-endian binary with the first bit set. */
function number(head: Buffer, at: number, width: number): number {
  const first = head[at] ?? 0
  if (first & 0x80) {
    let value = first & 0x7f
    for (let index = at + 1; index < at + width; index++) value = value * 256 + (head[index] ?? 0)
    if (value <= Number.MAX_SAFE_INTEGER) return value
    throw broken('a number of it is too large')
  }
  const digits = text(head, at, width).trim()
  const value = digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN
  if (Number.isNaN(value)) throw broken('a number of it is no number')
  return value
}

function decimal(bytes: Buffer | undefined): number | undefined {
  if (bytes === undefined) return undefined
  const value = Number(bytes.toString('latin1'))
  if (Number.isFinite(value) && value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value
  throw broken('a number of it is no number')
}

/** Seconds; a time before the epoch, or one that is none, is the epoch. */
function timeOf(head: Buffer, { mtime }: Records): number {
  const seconds = mtime ? Number(mtime.toString('latin1')) : Number.parseInt(text(head, 136, 12), 8)
  return seconds > 0 && seconds < 2 ** 40 ? seconds : 0
}

function text(head: Buffer, at: number, width: number): string {
  return upToZero(head.subarray(at, at + width)).toString('latin1')
}

function upToZero(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0)
  return end === -1 ? bytes : bytes.subarray(0, end)
}

function broken(seen: string): Failure {
  return new Failure('failed', `The archive cannot be read: ${seen}`)
}
