import { createWriteStream, type WriteStream } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { limits } from '../../core/config.ts'
import { diskFull, errno, Failure, isDiskFull, stopIfCancelled } from '../../core/errors.ts'
import { decompressor, isDamaged } from './decompress.ts'
import { notOci } from './documents.ts'
import { openTarReader, type ReadEntry, type TarSink } from './tar-reader.ts'

/** The files of an image that lies somewhere, by their names there; undefined for none. */
export type ImageFiles = (name: string) => Promise<string | undefined>

const entriesMost = 10_000
const linksMost = 8

/**
 * Reads an archive to its end into `dir`, which is for the caller to remove. No name in it becomes
 * a path: the files are numbered. Failure: it is too large, or no archive.
 */
export async function readArchive(
  input: AsyncIterable<Uint8Array>,
  dir: string,
  signal: AbortSignal,
): Promise<ImageFiles> {
  const spool = openSpool(dir)
  const reader = openTarReader(spool)
  let bytes = 0
  try {
    const { first, rest } = await head(input)
    if (first.length === 0) throw notOci('nothing came')
    await pipeline(
      Readable.from(rest, { objectMode: false }),
      decompressor(first),
      async (pieces: AsyncIterable<Buffer>) => {
        for await (const piece of pieces) {
          bytes += piece.length
          if (bytes > limits.imageBytes) throw tooLarge()
          reader.write(piece)
          await spool.drained()
        }
      },
      { signal },
    )
    reader.end()
  } catch (error) {
    stopIfCancelled(signal)
    if (isDiskFull(error)) throw diskFull(error)
    if (!isDamaged(errno(error))) throw error
    throw new Failure('failed', 'The archive cannot be decompressed', { cause: error })
  } finally {
    await spool.close()
  }
  return async (name) => spool.find(name)
}

/** The files of an OCI image layout that some program has written. */
export function layoutFiles(dir: string): ImageFiles {
  return async (name) => {
    if (!/^(index\.json|manifest\.json|oci-layout|blobs\/sha256\/[0-9a-f]{64})$/.test(name)) {
      return undefined
    }
    const file = join(dir, name)
    const stat = await lstat(file).catch(() => undefined)
    return stat?.isFile() ? file : undefined
  }
}

function openSpool(dir: string) {
  const files = new Map<string, string>()
  const links = new Map<string, string>()
  const written: Promise<unknown>[] = []
  let entries = 0
  let open: WriteStream | undefined
  let full = false

  const sink: TarSink = {
    begin(entry) {
      entries += 1
      if (entries > entriesMost) throw notOci(`it has more than ${entriesMost} files`)
      const name = normal(entry.path)
      if (entry.kind === 'symlink' || entry.kind === 'hardlink') links.set(name, target(entry))
      if (entry.kind !== 'file') return
      const file = join(dir, String(entries))
      files.set(name, file)
      open = createWriteStream(file)
      const closed = once(open, 'close')
      closed.catch(() => {}) // seen by whoever waits for all of them
      written.push(closed)
    },
    content(piece) {
      if (open && !open.write(Buffer.from(piece))) full = true
    },
    end() {
      open?.end()
      open = undefined
    },
  }
  return {
    ...sink,
    async drained(): Promise<void> {
      if (open && full && open.writableNeedDrain) await once(open, 'drain')
      full = false
    },
    async close(): Promise<void> {
      open?.destroy()
      await Promise.all(written)
    },
    find(name: string): string | undefined {
      let at = normal(name)
      for (let hops = 0; hops < linksMost && links.has(at); hops++) at = links.get(at) ?? at
      return files.get(at)
    },
  }
}

/** Of old archives, where layers of equal content are links to one of them. */
function target({ path, kind, target: to }: ReadEntry): string {
  return normal(kind === 'symlink' ? `${path.slice(0, path.lastIndexOf('/') + 1)}${to}` : to)
}

function normal(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts.join('/')
}

/** The first bytes of a stream, and all of it again. */
async function head(input: AsyncIterable<Uint8Array>) {
  const pieces = input[Symbol.asyncIterator]()
  const begun: Uint8Array[] = []
  let length = 0
  while (length < 4) {
    const { done, value } = await pieces.next()
    if (done) break
    begun.push(value)
    length += value.length
  }
  const first = Buffer.concat(begun)
  async function* rest() {
    yield first
    yield* { [Symbol.asyncIterator]: () => pieces }
  }
  return { first, rest: rest() }
}

function tooLarge(): Failure {
  const gigabytes = limits.imageBytes / 1024 ** 3
  return new Failure('failed', `The archive is too large: at most ${gigabytes} GB are taken`)
}
