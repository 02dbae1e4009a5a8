import { readFileSync } from 'node:fs'

/** The pid of the daemon that the file names, or undefined when that process is gone or another. */
export function runningDaemon(pidFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'))
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return pid !== process.pid && words.some((word) => word.endsWith('daemon/main.ts'))
      ? pid
      : undefined
  } catch {
    return undefined // no file, or no such process
  }
}
