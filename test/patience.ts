import { readFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'

/**
 * A limit in milliseconds that holds on a machine at rest, and up to six times as long on a busy
 * one: a test file alone keeps us to our word, and does not fail among others that all want the
 * processors. For upper bounds only: nothing should wait longer because others work.
 */
export function patience(ms: number): number {
  return Math.round(ms * Math.min(6, Math.max(1, slowness())))
}

/** Twice, where some process waited for a processor half the time. */
function slowness(): number {
  const waited = waitedPercent()
  if (waited !== undefined) return 100 / Math.max(1, 100 - waited)
  const [minute = 0] = loadavg()
  return (3 * minute) / availableParallelism()
}

/** Of the last ten seconds, in which some process was kept waiting; undefined where none counts. */
function waitedPercent(): number | undefined {
  try {
    const pressure = readFileSync('/proc/pressure/cpu', 'utf8')
    const [, percent] = /^some avg10=([\d.]+)/.exec(pressure) ?? []
    return percent === undefined ? undefined : Number(percent)
  } catch {
    return undefined
  }
}
