import { availableParallelism, loadavg } from 'node:os'

/**
 * A limit in milliseconds that holds on a machine at rest, and up to six times as long on a busy
 * one: a test file alone keeps us to our word, and does not fail among others that all want the
 * processors.
 */
export function patience(ms: number): number {
  const [minute = 0] = loadavg()
  const slowness = (3 * minute) / availableParallelism()
  return Math.round(ms * Math.min(6, Math.max(1, slowness)))
}
