import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { errno } from './errors.ts'

/** Processes by their number: which one it is, and signals for it. */

/**
 * When the process began, in clock ticks since boot: with the pid, a name no other ever has.
 * Undefined for the dead. Of a killed process the first thread may be dead while others still hold
 * its ports: it lives until they are gone.
 */
export function startTime(pid: number): number | undefined {
  const fields = statFields(pid)
  const [state] = fields
  const isDead = state === 'X' || (state === 'Z' && Number(fields[17]) <= 1)
  return fields.length === 0 || isDead ? undefined : Number(fields[19])
}

/** Whether it is still the very process that it was. */
export function isAlive(seen: { pid: number; startTime: number }): boolean {
  return startTime(seen.pid) === seen.startTime
}

/** The fields of a stat file from the third on: the second is a name and may hold anything. */
export function statFields(pid: number): string[] {
  const text = readProc(`${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? []
}

/** Signals a process, or a group by its negative number; no error when it has gone. */
export function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (errno(error) !== 'ESRCH') throw error
  }
}

/**
 * The signal that ended a process, as shells tell it by an exit code above 128. Undefined for codes
 * that name none: 255 is a mere `exit(-1)`.
 */
export function signalOf(code: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]
}

/** A file below /proc, undefined when there is no such process: the kernel answers from memory. */
export function readProc(file: string): string | undefined {
  try {
    return readFileSync(`/proc/${file}`, 'utf8')
  } catch (error) {
    const code = errno(error)
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EINVAL') return undefined
    throw error
  }
}
