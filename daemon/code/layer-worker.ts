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

/** What it can be told. A layer comes in pieces, a few with each message; none is the end. */
export type Tasks = Omit<LayerWork, 'read'> & {
  read(dir: string): Promise<Pieces>
  more(): Promise<Pieces>
}

type Pieces = Uint8Array<ArrayBuffer>[]

export type Kind = keyof Tasks

export type Answer<K extends Kind> = Awaited<ReturnType<Tasks[K]>>

export type Job<K extends Kind = Kind> = { kind: K; args: Parameters<Tasks[K]> }

export type Reply<K extends Kind = Kind> =
  | { kind: 'done'; value: Answer<K> }
  | { kind: 'failed'; failure: { code: Failure['code']; message: string; hint?: string } }
  | { kind: 'broken'; error: string }

const piecesAtOnce = 4

let reading: Generator<Uint8Array<ArrayBuffer>> | undefined

const tasks: { [K in Kind]: (...args: Parameters<Tasks[K]>) => Promise<Answer<K>> } = {
  digest: async (dir) => digest(dir),
  async read(dir) {
    reading = layerTar(dir, inodes)
    return pieces()
  },
  more: async () => pieces(),
  compress: (dir, file) => compressLayer(dir, file, inodes),
  unpack: (job) => unpackLayer(job, inodes),
  readText: async (job) => readMerged(job, inodes),
  compare: async (job) => compareDirectories(job, inodes),
}

parentPort?.on('message', (job: Job) => {
  answer(job).catch((error) => reply(explain(error)))
})

async function answer<K extends Kind>({ kind, args }: Job<K>): Promise<void> {
  const value = await tasks[kind](...args)
  reply({ kind: 'done', value }, buffersOf(value))
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

function pieces(): Pieces {
  const found: Pieces = []
  while (reading && found.length < piecesAtOnce) {
    const { done, value } = reading.next()
    if (done) reading = undefined
    else found.push(value)
  }
  return found
}

/** What is moved and not copied. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (!Array.isArray(value)) return []
  const buffers = value.map((one) => (one instanceof Uint8Array ? one.buffer : undefined))
  return buffers.filter((buffer) => buffer instanceof ArrayBuffer)
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
