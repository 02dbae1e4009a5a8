import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Job } from './bill-worker.ts'
import type { Component } from './component.ts'
import type { Subject } from './cyclonedx.ts'

const writingMs = 30_000

/** Has a bill written in a thread, with which the memory for it goes again. */
export async function writeBill(
  subject: Subject,
  components: Component[],
  signal: AbortSignal,
): Promise<string> {
  const job: Job = [subject, components]
  const worker = new Worker(new URL('./bill-worker.ts', import.meta.url), { workerData: job })
  try {
    const stop = AbortSignal.any([signal, AbortSignal.timeout(writingMs)])
    const [text]: unknown[] = await once(worker, 'message', { signal: stop })
    return String(text)
  } finally {
    await worker.terminate()
  }
}
