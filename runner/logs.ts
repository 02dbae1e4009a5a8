import { existsSync } from 'node:fs'
import { appendFile, link, mkdir, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../core/config.ts'
import { errno } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import { watchDirectory } from './exits.ts'
import type { Host } from './host.ts'
import {
  formatEntry,
  type LogFile,
  logFile,
  type LogLine,
  lineReader,
  logPiece,
  logPiecesPerApp,
  ownLogId,
} from './log-files.ts'
import { findFiles, type FoundFile, type LogFilter, readEntries, readTail } from './log-reading.ts'

/** Reads, follows and bounds the log of one app: a directory of files, one a container and more. */

export type { LogLine } from './log-files.ts'

/** How far each file has been read, by its inode: a name may come to mean another file. */
export type LogPosition = Record<string, number>

const followLookMs = 1000

/** The last lines, oldest first, and where they end, for followLogs to go on from. */
export async function tailLogs(
  directory: string,
  options: LogFilter & { lines: number },
): Promise<{ lines: LogLine[]; end: LogPosition }> {
  const files = await findFiles(directory, options)
  const end: LogPosition = {}
  let lines: LogLine[] = []
  for (const file of files.sort((a, b) => b.changedAt - a.changedAt)) {
    end[file.inode] = file.size
    const oldest = lines.length >= options.lines ? Date.parse(lines[0]?.at ?? '') : -Infinity
    if (options.lines === 0 || file.changedAt < oldest) continue
    const tail = await readTail(file, options.lines)
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
  options: LogFilter & { from?: LogPosition },
  onLine: (line: LogLine) => void | Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const position = options.from ?? (await tailLogs(directory, { ...options, lines: 0 })).end
  const readers = new Map<string, ReturnType<typeof lineReader>>()
  let wake: (() => void) | undefined
  using scope = new DisposableStack()
  scope.use(watchDirectory(directory, () => wake?.()))
  while (!signal.aborted) {
    const { promise, resolve } = Promise.withResolvers<void>()
    wake = resolve
    for (const line of await readOn(directory, options, position, readers)) {
      if (signal.aborted) return
      await onLine(line)
    }
    // The look once a second is for an event that the kernel's full queue has dropped.
    using timer = stopTimer(signal)
    await Promise.race([promise, delay(followLookMs, undefined, timer).catch(() => {})])
  }
}

/**
 * Adds what paas itself says to an app log; `source.process` is `paas`, `build.1` or the like;
 * with an `id` it follows what that container, which must have ended, has logged itself.
 */
export async function appendLog(
  directory: string,
  source: Pick<LogLine, 'process' | 'release'> & { id?: string },
  text: string,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const at = new Date()
  const lines = text.replace(/\n$/, '').split('\n')
  const entries = lines.map((line) => formatEntry(at, 'stdout', line.slice(0, limits.logLineBytes)))
  const file = logFile({ id: ownLogId, ...source })
  await appendFile(join(directory, file), entries.join(''), { mode: 0o600 })
}

/**
 * Keeps an app's log a ring of at most `limits.logBytesPerApp`. A monitor begins a file anew when
 * it is full; a second name, given to the full one in time, is what keeps it as an older piece. A
 * flood between two calls loses whole pieces from its middle, never the newest, and fills no disk.
 */
export async function boundLogs(host: Host, app: string): Promise<void> {
  const p = paths(host.config)
  const directory = p.logs(app)
  const files = await findFiles(directory, {})
  for (const file of files) if (file.piece === undefined) await keepPiece(directory, file, files)
  await deleteOldest(await findFiles(directory, {}), (file) => existsSync(p.bundle(file.id)))
}

async function keepPiece(directory: string, file: FoundFile, files: FoundFile[]): Promise<void> {
  if (file.names.length > 1) return
  const own = file.id === ownLogId
  if (own && file.size < limits.logBytesPerApp / logPiecesPerApp) return
  const pieces = files.filter((other) => logFile(other) === logFile(file))
  const next = Math.max(0, ...pieces.map(({ piece }) => piece ?? 0)) + 1
  const target = join(directory, logPiece(file, next))
  // A file of ours is opened anew for each line, a monitor's is open until the monitor leaves it.
  await (own ? rename(file.path, target) : link(file.path, target)).catch(ignoreMissing)
}

/** Whole files go, oldest first, but none that is still written. */
async function deleteOldest(files: FoundFile[], isLive: (file: LogFile) => boolean): Promise<void> {
  let total = files.reduce((sum, { size }) => sum + size, 0)
  for (const file of files.sort((a, b) => a.changedAt - b.changedAt)) {
    if (total <= limits.logBytesPerApp) return
    if (file.piece === undefined && isLive(file)) continue
    for (const name of file.names) await unlink(name).catch(ignoreMissing)
    total -= file.size
  }
}

async function readOn(
  directory: string,
  filter: LogFilter,
  position: LogPosition,
  readers: Map<string, ReturnType<typeof lineReader>>,
): Promise<LogLine[]> {
  const files = await findFiles(directory, filter)
  const lines: LogLine[] = []
  for (const file of files) {
    const from = position[file.inode] ?? 0
    if (file.size <= from) continue
    const reader = readers.get(file.inode) ?? lineReader(file, limits.logLineBytes)
    readers.set(file.inode, reader)
    const { entries, end } = await readEntries(file.path, from, file.size)
    position[file.inode] = end
    lines.push(...entries.map(reader).filter((line) => line !== undefined))
  }
  forget(position, readers, files)
  return lines.sort(byTime)
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

function ignoreMissing(error: unknown): undefined {
  if (errno(error) !== 'ENOENT') throw error
}
