const workersMost = 8

/**
 * The part of a range that belongs to this worker of vitest: what one has chosen and not yet taken
 * (or lost for a moment, with a daemon that it kills) looks free to all others.
 */
export function workerShare(from: number, to: number): [from: number, to: number] {
  const worker = Number(process.env.VITEST_POOL_ID ?? 0) % workersMost
  const each = Math.floor((to - from) / workersMost)
  return [from + worker * each, from + (worker + 1) * each]
}
