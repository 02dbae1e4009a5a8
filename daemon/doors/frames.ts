import type { WindowSize } from '../../core/types.ts'

/**
 * What `paas` on the host and the daemon say to each other over the local socket: frames of one
 * byte for the kind, four for the length (big-endian), then the bytes.
 */
export const frame = {
  request: 0,
  stdin: 1,
  stdout: 2,
  stderr: 3,
  exit: 4,
  /** To the daemon: the window's new size, as JSON. */
  resize: 5,
  /** To the client: from now on what is typed belongs to the program, ^C included. */
  raw: 6,
  /** To the client: what to ask, as JSON, to go on from here should the connection be lost. */
  resume: 7,
  /** To the client, which has nothing to do about it: whether it is still there. */
  alive: 8,
} as const

/** The first frame, as JSON. `turn` names the app in whose change a plugin is calling back. */
export type Request = {
  argv: string[]
  /** Present when a person sits at a terminal. */
  tty: ({ term: string } & WindowSize) | null
  turn: string | null
}

const headBytes = 5
const frameBytesMost = 1024 * 1024

export function encode(kind: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(headBytes)
  head.writeUInt8(kind, 0)
  head.writeUInt32BE(data.length, 1)
  return Buffer.concat([head, data])
}

/** The frames of a stream, one after another. Throws on a frame over 1 MiB. */
export async function* decode(
  stream: AsyncIterable<Buffer>,
): AsyncGenerator<{ kind: number; data: Buffer }> {
  const held: Buffer[] = []
  let [bytes, wanted] = [0, headBytes]
  for await (const chunk of stream) {
    held.push(chunk)
    bytes += chunk.length
    if (bytes < wanted) continue // joined once a frame is whole, not with every piece of it
    let rest = held.length === 1 ? chunk : Buffer.concat(held)
    for (wanted = frameBytes(rest); rest.length >= wanted; wanted = frameBytes(rest)) {
      yield { kind: rest.readUInt8(0), data: rest.subarray(headBytes, wanted) }
      rest = rest.subarray(wanted)
    }
    held.splice(0, Infinity, rest)
    bytes = rest.length
  }
}

/** What the frame that begins here takes, or its head where that is not whole yet. */
function frameBytes(rest: Buffer): number {
  if (rest.length < headBytes) return headBytes
  const length = rest.readUInt32BE(1)
  if (length > frameBytesMost) throw new RangeError(`frame of ${length} bytes`)
  return headBytes + length
}

export function parseRequest(data: Buffer): Request {
  const value: unknown = JSON.parse(data.toString('utf8'))
  if (typeof value !== 'object' || value === null || !('argv' in value))
    throw new TypeError('no argv')
  if (!Array.isArray(value.argv)) throw new TypeError('argv is no list')
  const turn = 'turn' in value && typeof value.turn === 'string' ? value.turn : null
  return {
    argv: value.argv.map(String),
    tty: 'tty' in value ? parseTerminal(value.tty) : null,
    turn,
  }
}

export function parseResume(data: Buffer): string[] {
  const value: unknown = JSON.parse(data.toString('utf8'))
  if (!Array.isArray(value)) throw new TypeError('no list of words')
  return value.map(String)
}

/** The window's size; one that is none counts as 80 by 24. */
export function parseSize(value: unknown): WindowSize {
  const given = typeof value === 'object' && value !== null ? value : {}
  return {
    columns: 'columns' in given ? cells(given.columns, 80) : 80,
    rows: 'rows' in given ? cells(given.rows, 24) : 24,
  }
}

function parseTerminal(value: unknown): Request['tty'] {
  if (typeof value !== 'object' || value === null) return null
  const term = 'term' in value ? String(value.term) : ''
  return { term: /^[\w.+-]{1,64}$/.test(term) ? term : 'dumb', ...parseSize(value) }
}

function cells(value: unknown, fallback: number): number {
  const count = Number(value)
  return Number.isInteger(count) && count >= 1 && count <= 2000 ? count : fallback
}
