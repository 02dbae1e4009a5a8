import { open, type FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { createInflateRaw } from 'node:zlib'
import { limits } from '../../core/config.ts'
import { printable } from '../../core/names.ts'
import { type ArchiveEntry, discard, refused } from './entries.ts'

/** Reads a zip archive by its central directory; what is in it is what that says. */

const endBytes = 22
const commentMost = 65_535
const directoryBytesMost = 64 * 1024 * 1024
const signatures = { end: 0x06054b50, entry: 0x02014b50, local: 0x04034b50 }

type Listed = ArchiveEntry & { at: number; packed: number; method: number }

/** Directories are left out. The body of each entry must be read in its turn. */
export async function* readZip(
  path: string,
  wanted: (path: string) => boolean = () => true,
): AsyncGenerator<ArchiveEntry> {
  await using file = await open(path)
  for (const listed of await readDirectory(file)) {
    if (!wanted(listed.path)) continue
    const body = inflated(file, listed)
    yield { ...listed, body }
    await discard(body)
  }
}

async function readDirectory(file: FileHandle): Promise<Listed[]> {
  const { size } = await file.stat()
  const tail = await readAt(file, Math.max(0, size - endBytes - commentMost), size)
  const end = lastIndexOf(tail, signatures.end)
  if (end === -1) throw refused('it is damaged, or no zip archive')
  const count = tail.readUInt16LE(end + 10)
  const bytes = tail.readUInt32LE(end + 12)
  const from = tail.readUInt32LE(end + 16)
  if (count === 0xffff || from === 0xffffffff) throw refused('it is a zip64 archive: give a tar.gz')
  if (bytes > directoryBytesMost || from + bytes > size) throw refused('it is damaged')
  const directory = await readAt(file, from, from + bytes)
  const entries: Listed[] = []
  for (let at = 0; entries.length <= limits.treeEntries && at + 46 <= directory.length;) {
    if (directory.readUInt32LE(at) !== signatures.entry) throw refused('it is damaged')
    const [name, extra, comment] = [28, 30, 32].map((offset) => directory.readUInt16LE(at + offset))
    const named = at + 46 + (name ?? 0)
    const listed = readListed(directory.subarray(at, named))
    if (listed) entries.push(listed)
    at = named + (extra ?? 0) + (comment ?? 0)
  }
  return entries
}

function readListed(record: Buffer): Listed | undefined {
  const path = record.toString('utf8', 46)
  if (path.includes('\ufffd')) throw refused('the name of one of its files is not UTF-8')
  if (record.readUInt16LE(8) & 1) throw refused(`"${printable(path)}" is encrypted`)
  const madeOnUnix = record.readUInt8(5) === 3
  const mode = madeOnUnix ? record.readUInt16LE(40) : 0
  const type = mode & 0o170000
  if (path.endsWith('/') || type === 0o040000) return undefined
  if (![0, 0o100000, 0o120000].includes(type)) {
    throw refused(`"${printable(path)}" is a device or a named pipe`)
  }
  const bytes = record.readUInt32LE(24)
  if (bytes === 0xffffffff) throw refused('it is a zip64 archive: give a tar.gz')
  return {
    path,
    bytes,
    kind: type === 0o120000 ? 'link' : 'file',
    executable: (mode & 0o100) !== 0,
    target: '',
    body: Readable.from([]),
    at: record.readUInt32LE(42),
    packed: record.readUInt32LE(20),
    method: record.readUInt16LE(10),
  }
}

/** Exactly as many bytes as were promised: an entry that holds more is a bomb. */
async function* inflated(file: FileHandle, listed: Listed): AsyncGenerator<Buffer> {
  const { path, at, packed, method, bytes } = listed
  const local = await readAt(file, at, at + 30)
  if (local.length < 30 || local.readUInt32LE(0) !== signatures.local)
    throw refused('it is damaged')
  const start = at + 30 + local.readUInt16LE(26) + local.readUInt16LE(28)
  const range = { start, end: start + packed - 1, autoClose: false }
  const stored = packed === 0 ? Readable.from([]) : file.createReadStream(range)
  if (![0, 8].includes(method)) throw refused(`"${printable(path)}" is packed in an unknown way`)
  const chunks = method === 8 ? stored.pipe(createInflateRaw()) : stored
  let seen = 0
  try {
    for await (const chunk of chunks) {
      seen += chunk.length
      if (seen > bytes) throw refused(`"${printable(path)}" is larger than it says`)
      yield chunk
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw refused(`"${printable(path)}" is damaged`)
    }
    throw error
  }
  if (seen < bytes) throw refused(`"${printable(path)}" is smaller than it says`)
}

async function readAt(file: FileHandle, from: number, to: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.max(0, to - from))
  const { bytesRead } = await file.read(buffer, 0, buffer.length, from)
  return buffer.subarray(0, bytesRead)
}

function lastIndexOf(buffer: Buffer, signature: number): number {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(signature)
  return buffer.lastIndexOf(bytes, buffer.length - endBytes)
}
