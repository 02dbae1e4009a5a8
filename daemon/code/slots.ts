import { cancelled } from '../../core/errors.ts'
import type { Say } from '../../core/types.ts'

/**
 * How many builds run at once, over all apps. First come, first served; an app has one place at
 * most, for its turn comes before, so no app can crowd out the others.
 */
export type Slots = ReturnType<typeof openSlots>

type Waiting = { say: Say; start: () => void }

export function openSlots(most: number) {
  const line: Waiting[] = []
  let taken = 0

  /** Waits for a free slot, held until the returned value is disposed of. */
  async function take(say: Say, signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) throw cancelled(signal)
    if (taken < most) taken += 1
    else await wait(say, signal)
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (held) give()
        held = false
      },
    }
  }

  async function wait(say: Say, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const one: Waiting = { say, start: resolve }
    const leave = () => {
      const index = line.indexOf(one)
      if (index === -1) return // it has its slot, and will give it back
      line.splice(index, 1)
      tellPlaces(index)
      reject(cancelled(signal))
    }
    line.push(one)
    tellPlaces(line.length - 1)
    signal.addEventListener('abort', leave)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** The slot passes on to whoever waits longest. */
  function give(): void {
    const next = line.shift()
    if (!next) taken -= 1
    next?.start()
    tellPlaces(0)
  }

  function tellPlaces(from: number): void {
    for (const [index, { say }] of line.entries()) {
      if (index < from) continue
      say(`-----> Waiting to build: number ${index + 1} in line, ${most} at a time`)
    }
  }

  return { take }
}
