import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import { limits } from '../core/config.ts'
import { ignoreMissing } from '../core/errors.ts'
import { type LogFile, type LogLine, lineReader, parseLogFile } from './log-files.ts'

/** Finds the log files of an app and reads entries from them. */

/** `process` is a type (`web`) or one process (`web.1`); `id` one container. */
export type LogFilter = { process?: string; release?: number; id?: string }

/** Which lines of the files are wanted; without any, all are. */
export type LineFilter = {
  /** Milliseconds since the epoch: from then on, and before then. */
  since?: number
  until?: number
  /** Of some lines those that are wanted, in their order. */
  match?: (lines: LogLine[]) => Promise<LogLine[]>
}

/** `names` are all its paths: a full file keeps a second name when the first passes on. */
export type FoundFile = LogFile & {
  names: string[]
  path: string
  inode: string
  size: number
  changedAt: number
}

const tailBytesMax = 8 * 1024 * 1024
const chunkBytes = 64 * 1024

/** Each file of the directory once, whatever its names, that the filter lets through. */
export async function findFiles(directory: string, filter: LogFilter): Promise<FoundFile[]> {
  const found = new Map<string, FoundFile>()
  for (const name of await readdir(directory).catch(() => [])) {
    const file = parseLogFile(name)
    if (!file || !matches(file, filter)) continue
    const path = join(directory, name)
    const facts = await stat(path).catch(ignoreMissing)
    if (!facts) continue
    const inode = String(facts.ino)
    const known = found.get(inode)
    const names = [...(known?.names ?? []), path]
    if (known && file.piece !== undefined) known.names = names
    // Of two names, the one without a number: it says that the file may still grow.
    else
      found.set(inode, { ...file, names, path, inode, size: facts.size, changedAt: facts.mtimeMs })
  }
  return [...found.values()]
}

function matches(file: LogFile, { process, release, id }: LogFilter): boolean {
  const type = file.process.replace(/\.\d+$/, '')
  if (process !== undefined && process !== file.process && process !== type) return false
  return (release === undefined || release === file.release) && (id === undefined || id === file.id)
}

/** The last `count` lines of a file that are wanted, and the offset behind the last of them. */
export async function readTail(
  file: FoundFile,
  count: number,
  filter: LineFilter = {},
): Promise<{ lines: LogLine[]; end: number }> {
  if (Object.values(filter).every((one) => one === undefined) && !file.compressed) {
    return readLast(file, count)
  }
  const read = lineReader(file, limits.logLineBytes)
  const { entries, end } = await readEntries(file, 0, file.size)
  const lines = entries.map(read).filter((line) => line !== undefined)
  return { lines: (await select(lines, filter)).slice(-count), end }
}

/** Those that are wanted of some lines. */
export async function select(lines: LogLine[], filter: LineFilter): Promise<LogLine[]> {
  const from = filter.since === undefined ? '' : stamp(filter.since)
  const to = filter.until === undefined ? '9999' : stamp(filter.until)
  const timely = lines.filter(({ at }) => at >= from && at < to)
  return filter.match && timely.length > 0 ? filter.match(timely) : timely
}

/** As the times of lines are written, so that they compare as text. */
function stamp(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000000Z')
}

async function readLast(file: FoundFile, count: number) {
  const read = lineReader(file, limits.logLineBytes)
  for (let bytes = chunkBytes; ; bytes *= 4) {
    const start = Math.max(0, file.size - bytes)
    const { entries, end } = await readEntries(file, start, file.size)
    const whole = start === 0 ? entries : entries.slice(1) // the first began before `start`
    const enough = start === 0 || whole.length > count || bytes >= tailBytesMax
    if (!enough) continue
    const lines = whole.map(read).filter((line) => line !== undefined)
    return { lines: lines.slice(-count), end }
  }
}

/** Whole entries between two offsets, and the offset behind the last of them. */
export async function readEntries(file: FoundFile, start: number, stop: number) {
  const data = await readBytes(file, start, stop)
  const entries: Buffer[] = []
  let from = 0
  for (let to = data.indexOf(10); to >= 0; to = data.indexOf(10, from)) {
    entries.push(data.subarray(from, to))
    from = to + 1
  }
  return { entries, end: file.compressed ? stop : start + from }
}

/** A compressed piece comes whole, whatever part of the file was asked for. */
async function readBytes(file: FoundFile, start: number, stop: number): Promise<Buffer> {
  const handle = await open(file.path, 'r').catch(ignoreMissing)
  if (!handle) return Buffer.alloc(0)
  try {
    const buffer = Buffer.alloc(file.compressed ? file.size : stop - start)
    const position = file.compressed ? 0 : start
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
    const data = buffer.subarray(0, bytesRead)
    return file.compressed ? await decompress(data, { maxOutputLength: pieceBytesMax }) : data
  } finally {
    await handle.close()
  }
}

const decompress = promisify(zstdDecompress)
const pieceBytesMax = 64 * 1024 * 1024
