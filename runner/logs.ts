import { appendFile, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../core/config.ts'
import { watchDirectory } from './exits.ts'
import { formatEntry, logFile, type LogLine, lineReader, ownLogId } from './log-files.ts'
import {
  findFiles,
  type FoundFile,
  type LineFilter,
  type LogFilter,
  readEntries,
  readTail,
  select,
} from './log-reading.ts'

/** Reads and follows the log of one app: a directory of files, one a container and more. */

export type { LogLine } from './log-files.ts'

/** How far each file has been read, by its inode: a name may come to mean another file. */
export type LogPosition = Record<string, number>

const followLookMs = 1000
/** Of a file at once: whoever goes on after a long time may have gigabytes before it. */
const lookBytesMost = 4 * 1024 * 1024

/** The last lines, oldest first, and where they end, for followLogs to go on from. */
export async function tailLogs(
  directory: string,
  options: LogFilter & LineFilter & { lines: number },
): Promise<{ lines: LogLine[]; end: LogPosition }> {
  const files = await findFiles(directory, options)
  const { since, until, match } = options
  const end: LogPosition = {}
  let lines: LogLine[] = []
  for (const file of files.sort((a, b) => b.changedAt - a.changedAt)) {
    end[file.inode] = file.size
    const oldest = lines.length >= options.lines ? Date.parse(lines[0]?.at ?? '') : -Infinity
    if (options.lines === 0 || file.changedAt < Math.max(oldest, since ?? -Infinity)) continue
    const tail = await readTail(file, options.lines, { since, until, match })
    end[file.inode] = tail.end
    lines = [...tail.lines, ...lines].sort(byTime).slice(-options.lines)
  }
  return { lines, end }
}

/**
 * Hands on each new line until `signal` is aborted, through deploys and rotations. `from` is the
 * `end` of tailLogs; without it, from now on. A slow `onLine` slows the reading, not the apps.
 */
export async function followLogs(
  directory: string,
  options: LogFilter &
    LineFilter & {
      from?: LogPosition
      /** Told each time that all lines up to there have been handed on. */
      onPosition?: (position: LogPosition) => void
    },
  onLine: (line: LogLine) => void | Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await using opened = await open(directory)
  const held = `/proc/self/fd/${opened.fd}` // it may be renamed, and the app with it
  const wanted = { since: options.since, until: options.until, match: options.match }
  const position = options.from ?? (await tailLogs(directory, { ...options, lines: 0 })).end
  const readers = new Map<string, ReturnType<typeof lineReader>>()
  let wake: (() => void) | undefined
  using scope = new DisposableStack()
  scope.use(watchDirectory(held, () => wake?.()))
  while (!signal.aborted) {
    const { promise, resolve } = Promise.withResolvers<void>()
    wake = resolve
    const { lines, more } = await readOn(held, options, position, readers)
    for (const line of await select(lines, wanted)) {
      if (signal.aborted) return
      await onLine(line)
    }
    options.onPosition?.(position)
    if (more) continue
    // The look once a second is for an event that the kernel's full queue has dropped.
    using timer = stopTimer(signal)
    await Promise.race([promise, delay(followLookMs, undefined, timer).catch(() => {})])
  }
}

export type Line = { at: Date; text: string }

/** What is said, now or, a line at a time and in the order of time, earlier. */
export type Said = string | Line[]

/**
 * Adds what paas itself says to an app log; `source.process` is `paas`, `build.1` or the like;
 * with an `id` it follows what that container, which must have ended, has logged itself.
 */
export async function appendLog(
  directory: string,
  source: Pick<LogLine, 'process' | 'release'> & { id?: string },
  said: Said,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const lines = typeof said === 'string' ? linesNow(said) : said
  const entries = lines.map(({ at, text }) =>
    formatEntry(at, 'stdout', text.slice(0, limits.logLineBytes)),
  )
  const file = logFile({ id: ownLogId, ...source })
  await appendFile(join(directory, file), entries.join(''), { mode: 0o600 })
}

/** The lines of a text that is said now. */
export function linesNow(text: string): Line[] {
  const at = new Date()
  const lines = text.replace(/\n$/, '').split('\n')
  return lines.map((line) => ({ at, text: line }))
}

async function readOn(
  directory: string,
  filter: LogFilter,
  position: LogPosition,
  readers: Map<string, ReturnType<typeof lineReader>>,
): Promise<{ lines: LogLine[]; more: boolean }> {
  const files = await findFiles(directory, filter)
  const lines: LogLine[] = []
  let more = false
  for (const file of files) {
    const from = position[file.inode] ?? 0
    // What lies compressed was read long ago, while it was still being written.
    if (file.size <= from || file.compressed) continue
    const reader = readers.get(file.inode) ?? lineReader(file, limits.logLineBytes)
    readers.set(file.inode, reader)
    const stop = Math.min(file.size, from + lookBytesMost)
    const { entries, end } = await readEntries(file, from, stop)
    position[file.inode] = end
    more ||= stop < file.size && end > from
    for (const entry of entries) {
      const line = reader(entry)
      if (line) lines.push(line)
    }
  }
  forget(position, readers, files)
  return { lines: lines.sort(byTime), more }
}

/** An inode may be given to a new file once the old one is gone. */
function forget(position: LogPosition, readers: Map<string, unknown>, files: FoundFile[]): void {
  const present = new Set(files.map(({ inode }) => inode))
  for (const inode of Object.keys(position)) {
    if (present.has(inode)) continue
    delete position[inode]
    readers.delete(inode)
  }
}

function byTime(a: LogLine, b: LogLine): number {
  if (a.at === b.at) return 0
  return a.at < b.at ? -1 : 1
}

function stopTimer(signal: AbortSignal): { signal: AbortSignal } & Disposable {
  const own = new AbortController()
  return { signal: AbortSignal.any([signal, own.signal]), [Symbol.dispose]: () => own.abort() }
}
