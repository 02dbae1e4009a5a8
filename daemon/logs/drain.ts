import { setTimeout as pause } from 'node:timers/promises'
import { maskAddresses } from '../../core/mask.ts'
import type { AppLine } from './drain-target.ts'
import { openTarget } from './drain-target.ts'
import type { Gate } from './own-network.ts'

/** Sends the lines of one app to one address, as fast as that takes them and no faster. */

const bufferLinesMost = 10_000
const bufferBytesMost = 4 * 1024 * 1024
const batchLines = 500
const firstWaitMs = 500
const longestWaitMs = 60_000

export class Drain {
  readonly #address: string
  readonly #gate: Gate | undefined
  readonly #closing = new AbortController()
  #buffer: AppLine[] = []
  #bytes = 0
  #sent = 0
  #dropped = 0
  /** Dropped lines that the other side has not been told of. */
  #untold = 0
  #problem: string | null = null
  #busy = false

  /** With a gate it sends only to where that lets it. */
  constructor(address: string, gate?: Gate) {
    this.#address = address
    this.#gate = gate
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

  report() {
    return {
      url: maskAddresses(this.#address),
      sent: this.#sent,
      waiting: this.#buffer.length,
      dropped: this.#dropped,
      problem: this.#problem,
    }
  }

  close(): void {
    this.#closing.abort()
  }

  async #work(): Promise<void> {
    this.#busy = true
    const target = openTarget(this.#address, this.#gate)
    const { signal } = this.#closing
    signal.addEventListener('abort', target.close, { once: true })
    let waitMs = firstWaitMs
    while (this.#buffer.length > 0 && !signal.aborted) {
      const batch = this.#buffer.splice(0, batchLines)
      const bytes = batch.reduce((sum, { text }) => sum + text.length, 0)
      this.#bytes -= bytes
      const untold = this.#untold
      try {
        await target.send(untold > 0 ? [note(untold, batch), ...batch] : batch)
        this.#untold -= untold
        this.#sent += batch.length
        this.#problem = null
        waitMs = firstWaitMs
      } catch (error) {
        this.#problem = error instanceof Error ? error.message : String(error)
        this.#buffer = [...batch, ...this.#buffer]
        this.#bytes += bytes
        await pause(waitMs, undefined, { signal, ref: false }).catch(() => {})
        waitMs = Math.min(longestWaitMs, waitMs * 2)
      }
    }
    signal.removeEventListener('abort', target.close)
    target.close()
    this.#busy = false
  }
}

/** Said before the lines that go through, to whom these are. */
function note(count: number, [line]: AppLine[]): AppLine {
  const at = new Date().toISOString().replace('Z', '000000Z')
  const text = `${count} lines were dropped: this drain was slow or away`
  return { at, app: line?.app ?? '', process: 'paas', release: 0, stream: 'stderr', text }
}
