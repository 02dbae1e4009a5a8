import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { ReadStream } from 'node:tty'
import koffi from 'koffi'
import { errno } from '../core/errors.ts'
import type { WindowSize } from '../core/types.ts'

/** Pseudo-terminals: three ioctls, which is all that a terminal library would add to Node's own. */

/** What sits at the other end of a pseudo-terminal: the client's window. */
export type Terminal = WindowSize & {
  onResize: (listener: (columns: number, rows: number) => void) => void
}

export type Pty = {
  /** What the program prints. Closes when the program has left, and `typed` with it. */
  output: ReadStream
  /** What is typed; takes no more than the program reads. */
  typed: Writable
  /** The program's side, a file descriptor to hand to it and then to close here. */
  program: number
  closeProgram: () => void
  resize: (columns: number, rows: number) => void
}

const libc = koffi.load('libc.so.6')
const cIoctl = libc.func('int ioctl(int fd, ulong request, ...)')

const unlockRequest = 0x40045431
const openPeerRequest = 0x5441
const setSizeRequest = 0x5414
const closeOnExecFlag = 0x80000

/** A new pseudo-terminal of the window's size; nobody's controlling terminal until one takes it. */
export function openPty({ columns, rows }: WindowSize): Pty {
  const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants
  const master = openSync('/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK)
  try {
    ioctl(master, unlockRequest, 'void *', Buffer.alloc(4))
    const program = ioctl(master, openPeerRequest, 'ulong', O_RDWR | O_NOCTTY | closeOnExecFlag)
    setSize(master, columns, rows)
    const output = new ReadStream(master)
    return {
      output,
      typed: typing(master, output),
      program,
      closeProgram: () => closeSync(program),
      resize: (newColumns, newRows) => {
        if (!output.destroyed) setSize(master, newColumns, newRows)
      },
    }
  } catch (error) {
    closeSync(master)
    throw error
  }
}

/**
 * Node itself would write to a terminal until all is taken, and the whole process stand still for a
 * program that reads nothing. The descriptor is closed with `output`.
 */
function typing(master: number, output: ReadStream): Writable {
  let timer: NodeJS.Timeout | undefined
  const put = (rest: Buffer, waitMs: number, done: (error?: Error) => void) => {
    if (output.destroyed) return done()
    try {
      const left = rest.subarray(writeSync(master, rest))
      if (left.length === 0) return done()
      timer = setTimeout(put, firstWaitMs, left, firstWaitMs, done)
    } catch (error) {
      if (errno(error) !== 'EAGAIN') return done(error as Error)
      timer = setTimeout(put, waitMs, rest, Math.min(2 * waitMs, longestWaitMs), done)
    }
  }
  const typed = new Writable({
    write: (chunk: Buffer, _encoding, done) => put(chunk, firstWaitMs, done),
    destroy: (error, done) => {
      clearTimeout(timer)
      done(error)
    },
  })
  output.once('close', () => typed.destroy())
  return typed
}

const firstWaitMs = 2
const longestWaitMs = 100

function setSize(fd: number, columns: number, rows: number): void {
  const size = Buffer.alloc(8)
  size.writeUInt16LE(rows, 0)
  size.writeUInt16LE(columns, 2)
  ioctl(fd, setSizeRequest, 'void *', size)
}

function ioctl(fd: number, request: number, type: string, value: unknown): number {
  const result = Number(cIoctl(fd, request, type, value))
  if (result < 0) throw new Error(`Terminal request ${request} failed: errno ${koffi.errno()}`)
  return result
}
