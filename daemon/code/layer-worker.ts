import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { compareDirectories } from '../../builder/image/compare.ts'
import { compressLayer } from '../../builder/image/compress.ts'
import { layerTar } from '../../builder/image/layer-tar.ts'
import type { LayerWork } from '../../builder/image/layer-work.ts'
import { readMerged } from '../../builder/image/merged.ts'
import { unpackLayer } from '../../builder/image/unpack.ts'
import { Failure } from '../../core/errors.ts'
import * as inodes from '../../runner/inodes.ts'

/** The thread of `openLayerWork`: does one thing that it is told and answers, then the next. */

export type Job =
  | { kind: 'digest'; dir: string }
  | { kind: 'read'; dir: string }
  | { kind: 'more' }
  | { kind: 'compress'; dir: string; file: string }
  | { kind: 'unpack'; job: Parameters<LayerWork['unpack']>[0] }
  | { kind: 'readText'; job: Parameters<LayerWork['readText']>[0] }
  | { kind: 'compare'; job: Parameters<LayerWork['compare']>[0] }

export type Reply =
  | { kind: 'done'; value: unknown }
  | { kind: 'failed'; failure: { code: Failure['code']; message: string; hint?: string } }
  | { kind: 'broken'; error: string }

/** Pieces of a `read`, those that one message brings; none is the end. */
const piecesAtOnce = 4

let reading: Generator<Uint8Array<ArrayBuffer>> | undefined

parentPort?.on('message', (job: Job) => {
  answer(job).catch((error) => reply(explain(error)))
})

async function answer(job: Job): Promise<void> {
  if (job.kind === 'read') reading = layerTar(job.dir, inodes)
  if (job.kind === 'read' || job.kind === 'more') return sendPieces()
  reply({ kind: 'done', value: await result(job) })
}

async function result(job: Exclude<Job, { kind: 'read' | 'more' }>): Promise<unknown> {
  if (job.kind === 'digest') return digest(job.dir)
  if (job.kind === 'compress') return compressLayer(job.dir, job.file, inodes)
  if (job.kind === 'unpack') return unpackLayer(job.job, inodes)
  if (job.kind === 'readText') return readMerged(job.job, inodes)
  return compareDirectories(job.job, inodes)
}

function digest(dir: string): { diffId: string; bytes: number } {
  const hash = createHash('sha256')
  let bytes = 0
  for (const piece of layerTar(dir, inodes)) {
    hash.update(piece)
    bytes += piece.length
  }
  return { diffId: `sha256:${hash.digest('hex')}`, bytes }
}

function sendPieces(): void {
  const pieces: Uint8Array<ArrayBuffer>[] = []
  while (reading && pieces.length < piecesAtOnce) {
    const { done, value } = reading.next()
    if (done) reading = undefined
    else pieces.push(value)
  }
  reply(
    { kind: 'done', value: pieces },
    pieces.map(({ buffer }) => buffer),
  )
}

function reply(message: Reply, moved: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, moved)
}

function explain(error: unknown): Reply {
  if (!(error instanceof Failure)) {
    return { kind: 'broken', error: error instanceof Error ? (error.stack ?? '') : String(error) }
  }
  const { code, message, hint } = error
  return { kind: 'failed', failure: { code, message, ...(hint && { hint }) } }
}
