import { Worker } from 'node:worker_threads'
import type { LayerWork } from '../../builder/image/layer-work.ts'
import { cancelled, Failure } from '../../core/errors.ts'
import type { Job, Reply } from './layer-worker.ts'

/**
 * The builder's layer work with the runner's native calls, in a thread that is there as long as it
 * is wanted. Aborting `signal` ends the thread, and with it whatever it does.
 */
export function openLayerWork(signal: AbortSignal): LayerWork & AsyncDisposable {
  let worker: Worker | undefined
  async function ask(job: Job): Promise<unknown> {
    if (signal.aborted) throw cancelled(signal)
    const thread = (worker ??= startThread())
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const stop = () => {
      // What it was writing must be still before anybody removes it.
      thread.terminate().then(() => reject(cancelled(signal)), reject)
    }
    const ended = () => reject(new Error('the thread of the layers ended'))
    signal.addEventListener('abort', stop, { once: true })
    thread.once('message', resolve).once('error', reject).once('exit', ended)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
    thread.postMessage(job)
    try {
      return valueOf(await promise)
    } finally {
      signal.removeEventListener('abort', stop)
      thread.off('message', resolve).off('error', reject).off('exit', ended)
    }
  }

  return {
    digest: async (dir) => digestOf(await ask({ kind: 'digest', dir })),
    async *read(dir) {
      let next = ask({ kind: 'read', dir })
      for (;;) {
        const pieces = piecesOf(await next)
        if (pieces.length === 0) return
        next = ask({ kind: 'more' }) // it reads on while these are written
        next.catch(() => {})
        yield* pieces
      }
    },
    async compress(dir, file) {
      const value = await ask({ kind: 'compress', dir, file })
      if (!isCompressed(value)) throw wrong(value)
      return value
    },
    async unpack(job) {
      const value = await ask({ kind: 'unpack', job })
      if (!isUnpacked(value)) throw wrong(value)
      return value
    },
    async readText(job) {
      const value = await ask({ kind: 'readText', job })
      return typeof value === 'string' ? value : undefined
    },
    async compare(job) {
      const value = await ask({ kind: 'compare', job })
      if (!isDifferences(value)) throw wrong(value)
      return value
    },
    async [Symbol.asyncDispose]() {
      await worker?.terminate()
    },
  }
}

function startThread(): Worker {
  const resourceLimits = { maxOldGenerationSizeMb: 256 }
  return new Worker(new URL('./layer-worker.ts', import.meta.url), { resourceLimits })
}

function valueOf(reply: Reply): unknown {
  if (reply.kind === 'done') return reply.value
  if (reply.kind === 'broken') throw new Error(`in the thread of the layers: ${reply.error}`)
  const { code, message, hint } = reply.failure
  throw new Failure(code, message, hint === undefined ? {} : { hint })
}

type Answers = { [Name in keyof LayerWork]: Awaited<ReturnType<LayerWork[Name]>> }

function digestOf(value: unknown): Answers['digest'] {
  if (!isDigest(value)) throw wrong(value)
  return value
}

function isDigest(value: unknown): value is Answers['digest'] {
  return typeof value === 'object' && value !== null && 'diffId' in value && 'bytes' in value
}

function isCompressed(value: unknown): value is Answers['compress'] {
  return isDigest(value) && 'gzip' in value
}

function isUnpacked(value: unknown): value is Answers['unpack'] {
  return typeof value === 'object' && value !== null && 'warnings' in value && 'entries' in value
}

function isDifferences(value: unknown): value is Answers['compare'] {
  return Array.isArray(value) && value.every((one) => typeof one === 'object' && 'path' in one)
}

function piecesOf(value: unknown): Uint8Array[] {
  if (!Array.isArray(value)) throw wrong(value)
  return value.filter((piece) => piece instanceof Uint8Array)
}

function wrong(value: unknown): TypeError {
  return new TypeError(`the thread of the layers answered with ${typeof value}`)
}
