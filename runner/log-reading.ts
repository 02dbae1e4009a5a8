import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../core/config.ts'
import { errno } from '../core/errors.ts'
import { type LogFile, type LogLine, lineReader, parseLogFile } from './log-files.ts'

/** Finds the log files of an app and reads entries from them. */

/** `process` is a type (`web`) or one process (`web.1`); `id` one container. */
export type LogFilter = { process?: string; release?: number; id?: string }

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

/** The last `count` lines of a file, and the offset behind the last of them. */
export async function readTail(
  file: FoundFile,
  count: number,
): Promise<{ lines: LogLine[]; end: number }> {
  const read = lineReader(file, limits.logLineBytes)
  for (let bytes = chunkBytes; ; bytes *= 4) {
    const start = Math.max(0, file.size - bytes)
    const { entries, end } = await readEntries(file.path, start, file.size)
    const whole = start === 0 ? entries : entries.slice(1) // the first began before `start`
    const enough = start === 0 || whole.length > count || bytes >= tailBytesMax
    if (!enough) continue
    const lines = whole.map(read).filter((line) => line !== undefined)
    return { lines: lines.slice(-count), end }
  }
}

/** Whole entries between two offsets, and the offset behind the last of them. */
export async function readEntries(path: string, start: number, stop: number) {
  const handle = await open(path, 'r').catch(ignoreMissing)
  if (!handle) return { entries: [], end: start }
  try {
    const buffer = Buffer.alloc(stop - start)
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start)
    const entries: Buffer[] = []
    let from = 0
    for (let to = buffer.indexOf(10); to >= 0 && to < bytesRead; to = buffer.indexOf(10, from)) {
      entries.push(buffer.subarray(from, to))
      from = to + 1
    }
    return { entries, end: start + from }
  } finally {
    await handle.close()
  }
}

function ignoreMissing(error: unknown): undefined {
  if (errno(error) !== 'ENOENT') throw error
}
