import { closeSync, constants, openSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import koffi from 'koffi'
import type { WindowSize } from '../core/types.ts'

/** Pseudo-terminals: three ioctls, which is all that a terminal library would add to Node's own. */

/** What sits at the other end of a pseudo-terminal: the client's window. */
export type Terminal = WindowSize & {
  onResize: (listener: (columns: number, rows: number) => void) => void
}

export type Pty = {
  /** Both ways: what the program prints, and what is typed. Closes when the program has left. */
  stream: ReadStream
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
  const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY)
  try {
    ioctl(master, unlockRequest, 'void *', Buffer.alloc(4))
    const flags = constants.O_RDWR | constants.O_NOCTTY | closeOnExecFlag
    const program = ioctl(master, openPeerRequest, 'ulong', flags)
    setSize(master, columns, rows)
    const stream = new ReadStream(master)
    return {
      stream,
      program,
      closeProgram: () => closeSync(program),
      resize: (newColumns, newRows) => {
        if (!stream.destroyed) setSize(master, newColumns, newRows)
      },
    }
  } catch (error) {
    closeSync(master)
    throw error
  }
}

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
