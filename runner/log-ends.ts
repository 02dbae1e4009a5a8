import { appendFile, rm } from 'node:fs/promises'
import { formatEntry, type LogLine } from './log-files.ts'
import { findFiles, readEntries } from './log-reading.ts'

/** The end of a container's own log. */

const lastBytes = 64 * 1024

/** Ends the lines that a container, which is gone, has left without a line feed. */
export async function endLog(directory: string, id: string): Promise<void> {
  for (const file of await findFiles(directory, { id })) {
    const { path, piece, size } = file
    if (piece !== undefined) continue
    const { entries } = await readEntries(file, Math.max(0, size - lastBytes), size)
    const open = new Map<LogLine['stream'], boolean>()
    for (const entry of entries) {
      const [, stream, tag] = /^\S+ (stdout|stderr) ([FP]) /.exec(entry.toString('latin1')) ?? []
      if (stream === 'stdout' || stream === 'stderr') open.set(stream, tag === 'P')
    }
    for (const [stream, isOpen] of open) {
      if (isOpen) await appendFile(path, formatEntry(new Date(), stream, ''))
    }
  }
}

/** Removes what one container has logged: short-lived ones would leave a file each, for ever. */
export async function forgetLog(directory: string, id: string): Promise<void> {
  for (const { names } of await findFiles(directory, { id })) {
    for (const name of names) await rm(name, { force: true })
  }
}
