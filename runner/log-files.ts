import type { InstanceSpec } from '../core/types.ts'

/** Names and lines of log files, as conmon writes them. All pure. */

export type LogLine = {
  /** RFC 3339 with nanoseconds. */
  at: string
  /** `web.1`, or whoever else speaks: `paas`, `build`. */
  process: string
  release: number
  stream: 'stdout' | 'stderr'
  text: string
}

/** `piece` is undefined for the file being written; older pieces of the same are numbered. */
export type LogFile = {
  process: string
  release: number
  id: string
  piece: number | undefined
  /** Whether it is one frame of zstd; such a piece never changes again. */
  compressed: boolean
}

/** Stands in the names of files that no container writes. */
export const ownLogId = '000000000000'

/** A file is full, and the next piece begins, at this part of what an app may keep. */
export const logPiecesPerApp = 16

/** Where a container's output goes: `web.1.v7.0123456789ab.log`. */
export function logFile(spec: Pick<InstanceSpec, 'process' | 'release' | 'id'>): string {
  return `${spec.process}.v${spec.release}.${spec.id}.log`
}

/** Where an older piece of `logFile` lies. */
export function logPiece(file: Pick<LogFile, 'process' | 'release' | 'id'>, piece: number): string {
  return logFile(file).replace(/log$/, `${String(piece).padStart(6, '0')}.log`)
}

/** The facts in a file's name, undefined for a name that is not ours. */
export function parseLogFile(name: string): LogFile | undefined {
  const match = /^(.+)\.v(\d+)\.([0-9a-f]{12})(?:\.(\d{6,}))?\.log(\.zst)?$/.exec(name)
  const [, process, release, id, piece, zst] = match ?? []
  if (process === undefined || id === undefined) return undefined
  const number = piece ? Number(piece) : undefined
  return { process, release: Number(release), id, piece: number, compressed: zst !== undefined }
}

/** One line as conmon would have written it. */
export function formatEntry(at: Date, stream: LogLine['stream'], text: string): string {
  return `${at.toISOString().replace('Z', '000000+00:00')} ${stream} F ${text}\n`
}

/**
 * Puts entries together to lines: an entry tagged P is a part, continued by the next of its
 * stream. A line longer than `bytesMax` comes in several. Feed it whole entries.
 */
export function lineReader(file: LogFile, bytesMax: number) {
  const parts: Record<LogLine['stream'], Buffer[]> = { stdout: [], stderr: [] }
  return function read(entry: Buffer): LogLine | undefined {
    const head = entry.subarray(0, headBytesMax).toString('latin1')
    const match = /^(\S+) (stdout|stderr) ([FP]) /.exec(head)
    if (!match) return undefined
    const [{ length }, at = '', name, tag] = match
    const stream = name === 'stderr' ? 'stderr' : 'stdout'
    const pending = parts[stream]
    pending.push(entry.subarray(length))
    const size = pending.reduce((sum, part) => sum + part.length, 0)
    if (tag === 'P' && size < bytesMax) return undefined
    parts[stream] = []
    const text = Buffer.concat(pending).toString('utf8').replace(/\r$/, '')
    return { at: normalTime(at), process: file.process, release: file.release, stream, text }
  }
}

const headBytesMax = 64

/** In UTC, with all nine digits kept, so that times compare as text. */
function normalTime(text: string): string {
  const [, fraction = '', zone = ''] = /\.(\d+)(Z|[+-]\d\d:\d\d)$/.exec(text) ?? []
  const seconds = new Date(text.replace(/\.\d+/, ''))
  if (!zone || Number.isNaN(seconds.getTime())) return text
  return seconds.toISOString().replace('.000Z', `.${fraction.padEnd(9, '0')}Z`)
}
