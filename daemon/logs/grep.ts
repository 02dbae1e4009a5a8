import { Worker } from 'node:worker_threads'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { LogLine } from '../../runner/logs.ts'
import type { Matches, Texts } from './grep-worker.ts'

/**
 * Regular expressions of users. One may take longer than the universe lasts, so each works in a
 * thread of its own that is ended at a deadline; the daemon itself never waits for one.
 */
export type Grep = ReturnType<typeof openGrep>

const batchTimeoutMs = 5000
const patternMost = 500
const openMost = 8
let open = 0

/** Throws a usage Failure for what is no regular expression. Dispose of it to end its thread. */
export function openGrep(pattern: string, signal: AbortSignal, timeoutMs = batchTimeoutMs) {
  check(pattern)
  if (open >= openMost) {
    throw new Failure('temporary', `${openMost} searches run already`, { hint: 'Try again soon' })
  }
  const worker = new Worker(new URL('./grep-worker.ts', import.meta.url), {
    workerData: pattern,
    resourceLimits: { maxOldGenerationSizeMb: 64 },
  })
  worker.unref()
  open += 1
  const broken = new AbortController()
  worker.on('error', (error) => broken.abort(error))

  async function ask(texts: Texts): Promise<Matches> {
    const { promise, resolve, reject } = Promise.withResolvers<Matches>()
    const late = AbortSignal.timeout(timeoutMs)
    const stop = AbortSignal.any([late, signal, broken.signal])
    const give = () =>
      reject(late.aborted ? tooSlow(pattern, timeoutMs) : new Failure('failed', 'Cancelled'))
    stop.addEventListener('abort', give, { once: true })
    if (stop.aborted) give()
    worker.once('message', resolve)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
    worker.postMessage(texts)
    try {
      return await promise
    } finally {
      stop.removeEventListener('abort', give)
      worker.off('message', resolve)
    }
  }

  return {
    /** Those of the lines that match, one call at a time; a Failure when it takes too long. */
    async match(lines: LogLine[]): Promise<LogLine[]> {
      const matches = await ask(lines.map(({ text }) => text))
      return lines.filter((_line, index) => matches[index])
    },
    async [Symbol.asyncDispose](): Promise<void> {
      open -= 1
      await worker.terminate()
    },
  }
}

function check(pattern: string): void {
  if (pattern.length > patternMost) {
    throw new Failure('usage', `--grep wants at most ${patternMost} characters`)
  }
  try {
    RegExp(pattern)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Failure('usage', `--grep "${printable(pattern)}" is no regular expression: ${why}`)
  }
}

function tooSlow(pattern: string, timeoutMs: number): Failure {
  const seconds = timeoutMs / 1000
  return new Failure('failed', `--grep "${printable(pattern)}" took longer than ${seconds} s`, {
    hint: 'Use a simpler expression, without repetitions inside of repetitions',
  })
}
