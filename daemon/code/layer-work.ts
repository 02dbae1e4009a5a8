import { Worker } from 'node:worker_threads'
import type { LayerWork } from '../../builder/image/layer-work.ts'
import { cancelled, Failure } from '../../core/errors.ts'
import type { Answer, Kind, Reply, Tasks } from './layer-worker.ts'

/**
 * The builder's layer work with the runner's native calls, in a thread that is there as long as it
 * is wanted. Aborting `signal` ends the thread, and with it whatever it does.
 */
export function openLayerWork(signal: AbortSignal): LayerWork & AsyncDisposable {
  let worker: Worker | undefined
  async function ask<K extends Kind>(kind: K, ...args: Parameters<Tasks[K]>): Promise<Answer<K>> {
    if (signal.aborted) throw cancelled(signal)
    const thread = (worker ??= startThread())
    const { promise, resolve, reject } = Promise.withResolvers<Reply<K>>()
    const stop = () => {
      // What it was writing must be still before anybody removes it.
      thread.terminate().then(() => reject(cancelled(signal)), reject)
    }
    const ended = () => reject(new Error('the thread of the layers ended'))
    signal.addEventListener('abort', stop, { once: true })
    thread.once('message', resolve).once('error', reject).once('exit', ended)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
    thread.postMessage({ kind, args })
    try {
      return valueOf(await promise)
    } finally {
      signal.removeEventListener('abort', stop)
      thread.off('message', resolve).off('error', reject).off('exit', ended)
    }
  }

  return {
    digest: (dir) => ask('digest', dir),
    async *read(dir) {
      let next = ask('read', dir)
      try {
        for (;;) {
          const pieces = await next
          if (pieces.length === 0) return
          next = ask('more') // it reads on while these are written
          next.catch(() => {})
          yield* pieces
        }
      } finally {
        await next.catch(() => {}) // who reads no further may ask for something else
      }
    },
    compress: (dir, file) => ask('compress', dir, file),
    unpack: (job) => ask('unpack', job),
    readText: (job) => ask('readText', job),
    compare: (job) => ask('compare', job),
    async [Symbol.asyncDispose]() {
      await worker?.terminate()
    },
  }
}

function startThread(): Worker {
  const resourceLimits = { maxOldGenerationSizeMb: 256 }
  return new Worker(new URL('./layer-worker.ts', import.meta.url), { resourceLimits })
}

function valueOf<K extends Kind>(reply: Reply<K>): Answer<K> {
  if (reply.kind === 'done') return reply.value
  if (reply.kind === 'broken') throw new Error(`in the thread of the layers: ${reply.error}`)
  const { code, message, hint } = reply.failure
  throw new Failure(code, message, hint === undefined ? {} : { hint })
}
