import { setTimeout as pause } from 'node:timers/promises'
import { maskAddresses } from '../../core/mask.ts'
import type { AppLine } from './drain-target.ts'
import { type DrainTarget, openTarget } from './drain-target.ts'
import type { Gate } from './own-network.ts'

/** Sends the lines of one app to one address, as fast as that takes them and no faster. */

const bufferLinesMost = 10_000
const bufferBytesMost = 4 * 1024 * 1024
const batchLines = 500
const firstWaitMs = 500
const longestWaitMs = 60_000
/** A connection is kept for the next line, whose turn may come soon. */
const restMs = 30_000

export class Drain {
  readonly #address: string
  readonly #target: DrainTarget
  readonly #closing = new AbortController()
  #buffer: AppLine[] = []
  #bytes = 0
  /** On their way, and not yet known to have arrived. */
  #sending = 0
  #sent = 0
  #dropped = 0
  /** Dropped lines that the other side has not been told of. */
  #untold = 0
  #problem: string | null = null
  #busy = false
  #rest: NodeJS.Timeout | undefined

  /** With a gate it sends only to where that lets it. */
  constructor(address: string, gate?: Gate) {
    this.#address = address
    this.#target = openTarget(address, gate)
  }

  /** Takes a line; the oldest goes when the other side is too slow or away for too long. */
  push(line: AppLine): void {
    this.#buffer.push(line)
    this.#bytes += line.text.length
    while (this.#buffer.length > bufferLinesMost || this.#bytes > bufferBytesMost) {
      this.#bytes -= this.#buffer.shift()?.text.length ?? 0
      this.#dropped += 1
      this.#untold += 1
    }
    if (!this.#busy) void this.#work()
  }

  /** How many of the lines it has taken are neither sent nor dropped. */
  waiting(): number {
    return this.#sending + this.#buffer.length
  }

  report() {
    return {
      url: maskAddresses(this.#address),
      sent: this.#sent,
      waiting: this.waiting(),
      dropped: this.#dropped,
      problem: this.#problem,
    }
  }

  close(): void {
    this.#closing.abort()
    clearTimeout(this.#rest)
    if (this.#busy) this.#target.drop()
    else this.#target.close()
  }

  async #work(): Promise<void> {
    this.#busy = true
    clearTimeout(this.#rest)
    const { signal } = this.#closing
    let waitMs = firstWaitMs
    while (this.#buffer.length > 0 && !signal.aborted) {
      const batch = this.#buffer.splice(0, batchLines)
      const bytes = batch.reduce((sum, { text }) => sum + text.length, 0)
      this.#bytes -= bytes
      this.#sending = batch.length
      const untold = this.#untold
      try {
        await this.#target.send(untold > 0 ? [note(untold, batch), ...batch] : batch)
        this.#sending = 0
        this.#untold -= untold
        this.#sent += batch.length
        this.#problem = null
        waitMs = firstWaitMs
      } catch (error) {
        this.#sending = 0
        this.#problem = error instanceof Error ? error.message : String(error)
        this.#buffer = [...batch, ...this.#buffer]
        this.#bytes += bytes
        await pause(waitMs, undefined, { signal, ref: false }).catch(() => {})
        waitMs = Math.min(longestWaitMs, waitMs * 2)
      }
    }
    this.#busy = false
    if (signal.aborted) return this.#target.drop() // it may have been about to connect
    this.#rest = setTimeout(() => this.#target.close(), restMs).unref()
  }
}

/** Said before the lines that go through, to whom these are. */
function note(count: number, [line]: AppLine[]): AppLine {
  const at = new Date().toISOString().replace('Z', '000000Z')
  const text = `${count} lines were dropped: this drain was slow or away`
  return { at, app: line?.app ?? '', process: 'paas', release: 0, stream: 'stderr', text }
}
