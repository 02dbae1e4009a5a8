/** How long requests took: counts by range, for percentiles without keeping every request. */

const smallestMs = 0.1
const growth = 1.15
const rangeCount = 110 // up to more than 100 s

/** A percentile is told within 15 %. */
export class Latencies {
  readonly #counts = new Uint32Array(rangeCount)
  #total = 0

  add(ms: number): void {
    const range = Math.ceil(Math.log(Math.max(ms, smallestMs) / smallestMs) / logGrowth)
    const index = Math.min(rangeCount - 1, range)
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
    this.#total += 1
  }

  /** Adds what others counted. */
  take(other: Latencies): void {
    for (const [index, count] of other.#counts.entries()) {
      this.#counts[index] = (this.#counts[index] ?? 0) + count
    }
    this.#total += other.#total
  }

  /** Milliseconds that `share` (0.95) of the requests did not exceed; null without any. */
  percentile(share: number): number | null {
    let left = Math.ceil(this.#total * share)
    if (left === 0) return null
    for (const [index, count] of this.#counts.entries()) {
      left -= count
      if (left <= 0) return round(smallestMs * growth ** index)
    }
    return null
  }
}

const logGrowth = Math.log(growth)

function round(ms: number): number {
  return Number(ms.toPrecision(2))
}
