import type { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Say } from '../core/types.ts'

const unsentBytesMost = 8 * 1024 * 1024
/** What a line that waits takes of memory beside its text. */
const lineBytes = 256

/**
 * A stream onto an SSH channel (or its stderr) that waits for the window and for the socket, and
 * that fails instead of hanging when the client goes: ssh2's own never calls back after a close.
 */
export function channelOutput(options: {
  target: Writable
  socket: Socket
  gone: AbortSignal
  /** Asked at each write: turn LF into CR LF, for a terminal without a pseudo-terminal. */
  terminalLines: () => boolean
}): Writable {
  const { target, socket, gone, terminalLines } = options
  const output = new Writable({
    decodeStrings: true,
    write(chunk: Buffer, _encoding, done) {
      const bytes = terminalLines() ? withCarriageReturns(chunk) : chunk
      whenDrained(socket, () => {
        if (gone.aborted) return // destroyed below; nobody waits for `done`
        try {
          target.write(bytes, done)
        } catch (error) {
          done(error instanceof Error ? error : new Error(String(error)))
        }
      })
    },
  })
  output.on('error', () => {}) // a client that has gone is no news to the writer
  const destroy = () => output.destroy()
  if (gone.aborted) destroy()
  gone.addEventListener('abort', destroy, { once: true })
  output.once('close', () => gone.removeEventListener('abort', destroy))
  return output
}

/**
 * Writes lines for whoever asked as they come. A client that does not read cannot make the daemon
 * grow: past 8 MiB of memory, lines are left out and counted.
 */
export function sayTo(output: Writable): Say {
  let dropped = 0
  let waiting = 0
  const sent = () => void (waiting -= 1)
  output.on('error', () => {})
  return (line) => {
    if (!output.writable) return
    if (output.writableLength + waiting * lineBytes > unsentBytesMost) {
      dropped += 1
      return
    }
    if (dropped > 0) output.write(`       … ${dropped} lines left out, the client was too slow\n`)
    dropped = 0
    waiting += 1
    output.write(`${line}\n`, sent)
  }
}

/** Ends the stream and waits until all of it is with the socket or the client has gone. */
export async function finish(output: Writable): Promise<void> {
  output.end()
  await finished(output).catch(() => {})
}

/** ssh2 writes to the socket without looking: this bounds what it can pile up there. */
function whenDrained(socket: Socket, next: () => void): void {
  if (!socket.writableNeedDrain || socket.destroyed) return next()
  const proceed = () => {
    socket.removeListener('drain', proceed)
    socket.removeListener('close', proceed)
    next()
  }
  socket.once('drain', proceed)
  socket.once('close', proceed)
}

function withCarriageReturns(chunk: Buffer): Buffer {
  const text = chunk.toString('latin1') // one character a byte, so UTF-8 passes through unharmed
  return Buffer.from(text.replace(/\r?\n/g, '\r\n'), 'latin1')
}
