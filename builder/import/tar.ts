import type { Readable } from 'node:stream'
import { printable } from '../../core/names.ts'
import { type ArchiveEntry, discard, refused } from './entries.ts'

/** Reads a tar archive as it comes: ustar, pax and GNU's long names. */

const block = 512
const metaBytesMost = 1024 * 1024

/** Directories are left out, as git knows none. The body of each entry must be read in its turn. */
export async function* readTar(stream: Readable): AsyncGenerator<ArchiveEntry> {
  const source = openBytes(stream)
  let more: Record<string, string> = {} // of the next entry
  for (;;) {
    const header = await source.exactly(block)
    if (header === undefined || header.every((byte) => byte === 0)) break
    checkSum(header)
    const bytes = sizeOf(header, more)
    const padding = (block - (bytes % block)) % block
    const type = String.fromCharCode(header[156] ?? 0)
    if (['x', 'g', 'L', 'K'].includes(type)) {
      const meta = await source.all(bytes, metaBytesMost)
      await source.skip(padding)
      if (type === 'x') Object.assign(more, readPax(meta))
      if (type === 'L') more.path = textOf(meta)
      if (type === 'K') more.linkpath = textOf(meta)
      continue
    }
    const body = source.part(bytes)
    const entry = entryOf(header, more, { type, bytes, body })
    more = {}
    if (entry) yield entry
    await discard(body)
    await source.skip(padding)
  }
  await discard(source.part(Infinity)) // what follows the end is padding
}

function entryOf(
  header: Buffer,
  more: Record<string, string>,
  { type, bytes, body }: { type: string; bytes: number; body: AsyncIterable<Buffer> },
): ArchiveEntry | undefined {
  const path = more.path ?? nameOf(header)
  const target = more.linkpath ?? textOf(header.subarray(157, 257))
  const executable = (octal(header.subarray(100, 108)) & 0o100) !== 0
  const common = { path, executable, target, bytes, body }
  if (type === '5') return undefined
  if (type === '2') return { ...common, kind: 'link' }
  if (type === '1') return { ...common, kind: 'same-as' }
  if (['0', '\0', '7'].includes(type)) {
    return path.endsWith('/') ? undefined : { ...common, kind: 'file' } // a directory of old tars
  }
  const kinds: Record<string, string> = { '3': 'a device', '4': 'a device', '6': 'a named pipe' }
  throw refused(`"${printable(path)}" is ${kinds[type] ?? `of the unknown type "${type}"`}`)
}

function nameOf(header: Buffer): string {
  const name = textOf(header.subarray(0, 100))
  const isUstar = header.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = isUstar ? textOf(header.subarray(345, 500)) : ''
  return prefix ? `${prefix}/${name}` : name
}

function sizeOf(header: Buffer, more: Record<string, string>): number {
  const size = more.size === undefined ? octal(header.subarray(124, 136)) : Number(more.size)
  if (Number.isSafeInteger(size) && size >= 0) return size
  throw refused('the size of one of its files is not a number')
}

/** Octal text, or GNU's binary numbers for what has no room in it. */
function octal(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(textOf(field).trim() || '0', 8)
  const digits = field.subarray(1)
  return digits.reduce((value, byte) => value * 256 + byte, (field[0] ?? 0) & 0x7f)
}

function checkSum(header: Buffer): void {
  const spaces = 8 * 32 // the sum counts its own field as spaces
  const field = header.subarray(148, 156)
  const all = header.reduce((sum, byte) => sum + byte, 0)
  const own = field.reduce((sum, byte) => sum + byte, 0)
  if (all - own + spaces !== octal(field)) throw refused('it is damaged, or no tar archive')
}

/** `<length> <key>=<value>\n`, where the length is of all of it in bytes. */
function readPax(meta: Buffer): Record<string, string> {
  const values: Record<string, string> = {}
  for (let at = 0; at < meta.length;) {
    const space = meta.indexOf(32, at)
    const length = Number(meta.toString('latin1', at, space))
    if (space === -1 || !(length > 0) || at + length > meta.length) {
      throw refused('it is damaged: an extended header cannot be read')
    }
    const record = meta.subarray(space + 1, at + length - 1)
    const equals = record.indexOf(61)
    const key = record.toString('utf8', 0, equals)
    if (key.startsWith('GNU.sparse')) throw refused('it has sparse files')
    if (['path', 'linkpath', 'size'].includes(key))
      values[key] = textOf(record.subarray(equals + 1))
    at += length
  }
  return values
}

/** Up to the first NUL. */
function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(
      end < 0 ? bytes : bytes.subarray(0, end),
    )
  } catch {
    throw refused('the name of one of its files is not UTF-8')
  }
}

function openBytes(stream: Readable) {
  const chunks = stream.iterator()
  let rest: Buffer = Buffer.alloc(0)

  /** At most `most` bytes, at least one; undefined at the end. */
  async function some(most: number): Promise<Buffer | undefined> {
    while (rest.length === 0) {
      const { value, done } = await chunks.next()
      if (done) return undefined
      rest = value
    }
    const chunk = rest.subarray(0, most)
    rest = rest.subarray(chunk.length)
    return chunk
  }

  async function* part(bytes: number): AsyncGenerator<Buffer> {
    for (let left = bytes; left > 0;) {
      const chunk = await some(left)
      if (!chunk && bytes === Infinity) return
      if (!chunk) throw refused('it ends in the middle of a file')
      left -= chunk.length
      yield chunk
    }
  }

  async function all(bytes: number, most: number): Promise<Buffer> {
    if (bytes > most) throw refused('the name of one of its files is too long')
    const parts: Buffer[] = []
    for await (const chunk of part(bytes)) parts.push(chunk)
    return Buffer.concat(parts)
  }

  return {
    part,
    all,
    /** Undefined at the end of the stream. */
    async exactly(bytes: number): Promise<Buffer | undefined> {
      const first = await some(bytes)
      if (!first || first.length === bytes) return first
      return Buffer.concat([first, await all(bytes - first.length, bytes)])
    },
    async skip(bytes: number): Promise<void> {
      await discard(part(bytes))
    },
  }
}
