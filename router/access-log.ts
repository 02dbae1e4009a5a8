import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { setImmediate as breathe } from 'node:timers/promises'
import { errno } from '../core/errors.ts'

/** Reads what Caddy writes of each request, across its rotations. */

export type AccessEntry = {
  /** Milliseconds since the epoch, when the answer was complete. */
  at: number
  /** As the client sent it, without the port, in lower case. */
  host: string
  method: string
  /** Without the query, which may hold secrets. */
  path: string
  /** 0 when the client left before there was an answer. */
  status: number
  ms: number
  bytes: number
  client: string
  /** `ip:port` of the process that answered; undefined when the router did. */
  upstream: string | undefined
}

/** How far the log has been read: the file, as its inode, and the offset in it. */
export type AccessPosition = { inode: number; offset: number }

const chunkBytes = 256 * 1024
/** What is longer is no line of Caddy's, and would only fill our memory. */
const lineBytesMost = 256 * 1024

/** Opens the log at `position`, or at its end when that is undefined or of a file long gone. */
export function openAccessLog(path: string, position?: AccessPosition) {
  let fd: number | undefined
  let inode = 0
  let offset = 0
  let rest = Buffer.alloc(0)

  function begin(): boolean {
    try {
      fd = openSync(path, 'r')
    } catch (error) {
      if (errno(error) === 'ENOENT') return false
      throw error
    }
    inode = fstatSync(fd).ino
    offset = 0
    rest = Buffer.alloc(0)
    return true
  }

  function end(): void {
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }

  async function readOn(onEntry: (entry: AccessEntry) => void): Promise<void> {
    for (;;) {
      if (fd === undefined && !begin()) return
      // Asked first: what is written in between is then read below.
      const moved = hasMoved(path, inode)
      await readTo(Infinity, onEntry)
      if (!moved) return
      end()
    }
  }

  async function readTo(stop: number, onEntry: (entry: AccessEntry) => void): Promise<void> {
    const chunk = Buffer.alloc(chunkBytes)
    for (;;) {
      const size = Math.min(chunkBytes, stop - offset)
      const count = fd === undefined ? 0 : readSync(fd, chunk, 0, size, offset)
      if (count === 0) return
      offset += count
      rest = eachLine(Buffer.concat([rest, chunk.subarray(0, count)]), (line) => {
        const entry = parseEntry(line)
        if (entry) onEntry(entry)
      })
      if (rest.length > lineBytesMost) rest = Buffer.alloc(0)
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
    position: (): AccessPosition => ({ inode, offset: offset - rest.length }),
    close: end,
  }
}

/** Whether the log has begun anew under its name, so that ours will not grow any more. */
function hasMoved(path: string, inode: number): boolean {
  try {
    return statSync(path).ino !== inode
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}

function eachLine(data: Buffer, onLine: (line: string) => void): Buffer<ArrayBuffer> {
  let from = 0
  for (let to = data.indexOf(10); to >= 0; to = data.indexOf(10, from)) {
    onLine(data.toString('utf8', from, to))
    from = to + 1
  }
  return Buffer.from(data.subarray(from))
}

/** Pure; undefined for a line that is no request. */
export function parseEntry(line: string): AccessEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line)
    if (!isObject(entry) || !isObject(entry.request)) return undefined
    const { request } = entry
    const user = string(entry.user_id)
    return {
      at: number(entry.ts) * 1000,
      host: string(request.host).toLowerCase().replace(/:\d+$/, '').replace(/\.$/, ''),
      method: string(request.method),
      path: string(request.uri).replace(/\?.*$/s, ''),
      status: number(entry.status),
      ms: number(entry.duration) * 1000,
      bytes: number(entry.size),
      client: string(request.remote_ip),
      upstream: /^[\d.]+:\d+$/.test(user) ? user : undefined,
    }
  } catch {
    return undefined // half a line from before a crash
  }
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
