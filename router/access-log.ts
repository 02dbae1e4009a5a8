import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { setImmediate as breathe } from 'node:timers/promises'
import { errno } from '../core/errors.ts'

/** Reads what Caddy writes of each request, across its rotations. */

export type AccessEntry = {
  /** Milliseconds since the epoch, when the answer was complete. */
  at: number
  /** As the client sent it, without the port, in lower case. */
  host: string
  /** 0 when the client left before there was an answer. */
  status: number
  ms: number
  /** `ip:port` of the process that answered; undefined when the router did. */
  upstream: string | undefined
  /** All of it, as Caddy wrote it. */
  line: string
}

/** What is only wanted of the few requests that people read about. */
export type AccessDetails = {
  method: string
  /** Without the query, which may hold secrets. */
  path: string
  bytes: number
  client: string
}

/** How far the log has been read: the file, as its inode, and the offset in it. */
export type AccessPosition = { inode: number; offset: number }

const chunkBytes = 256 * 1024

/** Opens the log at `position`, or at its end when that is undefined or of a file long gone. */
export function openAccessLog(path: string, position?: AccessPosition) {
  let fd: number | undefined
  let inode = 0
  let offset = 0
  const data = Buffer.allocUnsafe(chunkBytes)
  /** Bytes at the front of it: the beginning of a line whose end is still to come. */
  let held = 0

  function begin(): boolean {
    try {
      fd = openSync(path, 'r')
    } catch (error) {
      if (errno(error) === 'ENOENT') return false
      throw error
    }
    inode = fstatSync(fd).ino
    offset = 0
    held = 0
    return true
  }

  function end(): void {
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }

  async function readOn(onEntry: (entry: AccessEntry) => void): Promise<void> {
    for (;;) {
      if (fd === undefined && !begin()) return
      const moved = isOther(path, inode) // asked first: the last lines are then read below
      await readTo(Infinity, onEntry)
      if (!moved) return
      end()
    }
  }

  async function readTo(stop: number, onEntry: (entry: AccessEntry) => void): Promise<void> {
    for (;;) {
      const size = Math.min(data.length - held, stop - offset)
      const count = fd === undefined ? 0 : readSync(fd, data, held, size, offset)
      if (count === 0) return
      offset += count
      held += count
      const whole = data.subarray(0, held).lastIndexOf(10) + 1
      eachEntry(data.toString('utf8', 0, whole), onEntry)
      data.copyWithin(0, whole, held)
      held -= whole
      if (held === data.length) held = 0 // what fills all of it is no line of Caddy's
      await breathe() // requests of others to this daemon come in between
    }
  }

  if (begin()) {
    const size = fstatSync(fd ?? -1).size
    offset = position?.inode === inode && position.offset <= size ? position.offset : size
  }
  return {
    /** Hands on what was written since; one call at a time. */
    readOn,
    /** The same for what lies before a position in the file that is being read. */
    async readUntil(stop: AccessPosition, onEntry: (entry: AccessEntry) => void): Promise<void> {
      if (stop.inode === inode && stop.offset > offset) await readTo(stop.offset, onEntry)
    },
    position: (): AccessPosition => ({ inode, offset: offset - held }),
    close: end,
  }
}

/** Whether the log has begun anew under its name, so that ours will not grow any more. */
function isOther(path: string, inode: number): boolean {
  try {
    return statSync(path).ino !== inode
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}

function eachEntry(lines: string, onEntry: (entry: AccessEntry) => void): void {
  let from = 0
  for (let to = lines.indexOf('\n'); to >= 0; to = lines.indexOf('\n', from)) {
    const entry = parseEntry(lines.slice(from, to))
    if (entry) onEntry(entry)
    from = to + 1
  }
}

/** Pure; undefined for a line that is no request. */
export function parseEntry(line: string): AccessEntry | undefined {
  const [whole, ts, host = '', user = '', duration, status] = usual.exec(line) ?? []
  if (whole === undefined) return parseUnusual(line)
  return {
    at: Number(ts) * 1000,
    host: hostName(host),
    status: Number(status),
    ms: Number(duration) * 1000,
    upstream: upstreamIn(user),
    line,
  }
}

/** Pure; of the line of an entry. */
export function detailsOf({ line }: Pick<AccessEntry, 'line'>): AccessDetails {
  const { request, size } = requestIn(line) ?? { request: {}, size: 0 }
  return {
    method: string(request.method),
    path: withoutQuery(string(request.uri)),
    bytes: number(size),
    client: string(request.remote_ip),
  }
}

/**
 * A line as Caddy writes nearly all: its fields in their order, no character escaped. To read what
 * counts in that costs an eighth of JSON.parse, and there may be tens of thousands in a second.
 */
const usual = new RegExp(
  String.raw`^\{"level":"\w+","ts":([\d.]+),"logger":"[^"\\]*","msg":"[^"\\]*","request":\{` +
    String.raw`"remote_ip":"[^"\\]*","remote_port":"\d*",(?:"client_ip":"[^"\\]*",)?` +
    String.raw`"proto":"[^"\\]*","method":"[^"\\]*","host":"([^"\\]*)","uri":"[^"\\]*"\},` +
    String.raw`(?:"bytes_read":\d+,)?"user_id":"([^"\\]*)","duration":([\d.e-]+),` +
    String.raw`"size":\d+,"status":(\d+)\}$`,
)

function parseUnusual(line: string): AccessEntry | undefined {
  const entry = requestIn(line)
  return (
    entry && {
      at: number(entry.ts) * 1000,
      host: hostName(string(entry.request.host)),
      status: number(entry.status),
      ms: number(entry.duration) * 1000,
      upstream: upstreamIn(string(entry.user_id)),
      line,
    }
  )
}

type Line = Record<string, unknown> & { request: Record<string, unknown> }

function requestIn(line: string): Line | undefined {
  try {
    const entry: unknown = JSON.parse(line)
    return isObject(entry) && isObject(entry.request)
      ? { ...entry, request: entry.request }
      : undefined
  } catch {
    return undefined // half a line from before a crash
  }
}

function hostName(text: string): string {
  const colon = text.lastIndexOf(':')
  const name = colon >= 0 && /^\d+$/.test(text.slice(colon + 1)) ? text.slice(0, colon) : text
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase()
}

function withoutQuery(uri: string): string {
  const mark = uri.indexOf('?')
  return mark >= 0 ? uri.slice(0, mark) : uri
}

function upstreamIn(user: string): string | undefined {
  return /^[\d.]+:\d+$/.test(user) ? user : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function string(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
