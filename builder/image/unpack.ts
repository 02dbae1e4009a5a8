import { createHash } from 'node:crypto'
import { closeSync, createReadStream, openSync, readSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { diskFull, errno, Failure, isDiskFull } from '../../core/errors.ts'
import { decompressor, isDamaged } from './decompress.ts'
import type { Inodes } from './inodes.ts'
import { openLayerSink } from './layer-sink.ts'
import type { Unpacked, UnpackJob } from './layer-work.ts'
import { openTarReader } from './tar-reader.ts'

const chunkBytes = 256 * 1024

/**
 * Fills a directory from a layer of somebody else's. Everything is bounded and checked: what the
 * blob and the tar within must hash to, how much comes out, where each file goes. A Failure leaves
 * a part of it, which is for the caller to remove. Writes synchronously: for a thread of its own.
 */
export async function unpackLayer(job: UnpackJob, inodes: Inodes): Promise<Unpacked> {
  let bytes = 0
  const count = (more: number) => {
    bytes += more
    if (bytes > job.bytesMost) throw tooLarge(job.bytesMost)
  }
  const sink = openLayerSink(job, inodes, count)
  const reader = openTarReader(sink)
  const [blob, tar] = [createHash('sha256'), createHash('sha256')]
  try {
    await pipeline(
      createReadStream(job.file, { highWaterMark: chunkBytes }),
      async function* (pieces: AsyncIterable<Buffer>) {
        for await (const piece of pieces) {
          blob.update(piece)
          yield piece
        }
      },
      decompressor(headOf(job.file), { chunkSize: chunkBytes }),
      async (pieces: AsyncIterable<Buffer>) => {
        for await (const piece of pieces) {
          count(piece.length)
          tar.update(piece)
          reader.write(piece)
        }
      },
    )
    reader.end()
    check('A blob of the image', job.digest, `sha256:${blob.digest('hex')}`)
    check('A layer of the image', job.diffId, `sha256:${tar.digest('hex')}`)
    return { bytes, ...sink.finish() }
  } catch (error) {
    if (isDamaged(errno(error))) {
      throw new Failure('failed', 'A layer of the image cannot be decompressed', { cause: error })
    }
    throw isDiskFull(error) ? diskFull(error) : error
  } finally {
    sink.close()
  }
}

/** By what the bytes begin with: what they are said to be is sometimes wrong. */
function headOf(file: string): Buffer {
  const head = Buffer.alloc(4)
  const fd = openSync(file, 'r')
  try {
    readSync(fd, head)
  } finally {
    closeSync(fd)
  }
  return head
}

function check(what: string, wanted: string | undefined, found: string): void {
  if (wanted === undefined || wanted === found) return
  throw new Failure('failed', `${what} is damaged: it should be ${wanted} and is ${found}`, {
    hint: 'Make the image again, or move it again',
  })
}

function tooLarge(most: number): Failure {
  const gigabytes = (most / 1024 ** 3).toFixed(1)
  return new Failure('failed', `The image is too large: at most ${gigabytes} GB are taken`)
}
