/** How long to wait before a process that died is started again: 100 ms, doubling to 30 s. */

const firstDelayMs = 100
const longestDelayMs = 30_000

type Trouble = { deaths: number; notBefore: number; reason: string }

/** What is held against each process of each app, in memory: a restart of the daemon forgives. */
export class BackOff {
  readonly #troubles = new Map<string, Trouble>()

  /** Counts a death and returns how long to wait, in milliseconds. */
  stumble(app: string, process: string, reason: string): number {
    const deaths = (this.#troubles.get(`${app}/${process}`)?.deaths ?? 0) + 1
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** (deaths - 1))
    this.#troubles.set(`${app}/${process}`, { deaths, notBefore: Date.now() + delayMs, reason })
    return delayMs
  }

  /** Milliseconds that are still to be waited; 0 or less when it may start. */
  remaining(app: string, process: string): number {
    return (this.#troubles.get(`${app}/${process}`)?.notBefore ?? 0) - Date.now()
  }

  /** What is held against a process, undefined for one that does well. */
  trouble(app: string, process: string) {
    const found = this.#troubles.get(`${app}/${process}`)
    return found && { ...found, remainingMs: Math.max(0, found.notBefore - Date.now()) }
  }

  /** It ran well for a while, or something new runs in its place. */
  forgive(app: string, process?: string): void {
    const prefix = `${app}/${process ?? ''}`
    for (const key of this.#troubles.keys()) {
      if (process === undefined ? key.startsWith(prefix) : key === prefix)
        this.#troubles.delete(key)
    }
  }
}
