import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { newId, paths } from '../../core/names.ts'
import type { Image } from '../../core/types.ts'
import { type ImageFiles, layoutFiles, readArchive } from './archive.ts'
import { choosePlatform, isIndex, notOci, readDocument, toConfig } from './documents.ts'
import { toIndex, toManifest } from './documents.ts'
import { type ForeignImage, type TakeContext, takeImage } from './take.ts'

/** An image of ours, and the digest of the foreign one that it was made of. */
export type Taken = { image: Image; digest: string }

/** An image that can be taken until this is disposed of. */
export type Source = { take(context: TakeContext): Promise<Taken> } & AsyncDisposable

/**
 * Reads an archive to its end: an OCI image layout, or what `docker save` writes; plain, with gzip
 * or with zstd. The image in it is then there to be taken, with failures as of `takeImage`.
 */
export async function openArchive(
  config: PaasConfig,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Source> {
  const dir = join(paths(config).making, `import-${newId()}`)
  const remove = () => rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  try {
    const files = await readArchive(input, dir, signal)
    return { take: (context) => take(config, files, context), [Symbol.asyncDispose]: remove }
  } catch (error) {
    await remove()
    throw error
  }
}

async function take(config: PaasConfig, files: ImageFiles, context: TakeContext): Promise<Taken> {
  const { digest, ...found } = (await files('index.json'))
    ? await readOci(files)
    : await readDocker(files)
  const image = await takeImage(config, { ...found, name: `image ${short(digest)}` }, context)
  return { image, digest }
}

/**
 * What is in a directory that is an OCI image layout, by the image's name there, without taking it.
 * The directory stays as it is.
 */
export function readLayout(dir: string, name: string): Promise<Read> {
  return readOci(layoutFiles(dir), name)
}

type Read = Omit<ForeignImage, 'name'> & { digest: string }

async function readOci(files: ImageFiles, name?: string): Promise<Read> {
  const first = choosePlatform(toIndex(await readDocument(await must(files, 'index.json'))), name)
  const { digest, value } = await throughIndexes(files, first.digest)
  const { config, layers } = toManifest(value)
  const own = toConfig(await readBlob(files, config.digest))
  if (own.diffIds.length !== layers.length) throw notOci('its layers are not those it speaks of')
  return {
    digest,
    config: own,
    layers: layers.map(({ digest: blob }, at) => ({
      digest: blob,
      diffId: own.diffIds[at] ?? '',
      fetch: async () => kept(await must(files, blobName(blob))),
    })),
  }
}

/** An index may name another one, which then holds the images by platform. */
async function throughIndexes(files: ImageFiles, digest: string, depth = 0) {
  const value = await readBlob(files, digest)
  if (!isIndex(value)) return { digest, value }
  if (depth > 2) throw notOci('its indexes have no end')
  return throughIndexes(files, choosePlatform(toIndex(value)).digest, depth + 1)
}

/** What `docker save` has always written: a list of names of files. */
async function readDocker(files: ImageFiles): Promise<Read> {
  const list: unknown = await readDocument(await must(files, 'manifest.json'))
  const entries: unknown[] = Array.isArray(list) ? list : []
  if (entries.length !== 1) throw notOci(`it holds ${entries.length} images instead of one`)
  const entry = typeof entries[0] === 'object' ? { ...entries[0] } : {}
  const { Config, Layers } = { Config: undefined, Layers: undefined, ...entry }
  const names: unknown[] = Array.isArray(Layers) ? Layers : []
  const config = toConfig(await readDocument(await must(files, String(Config))))
  if (config.diffIds.length !== names.length) throw notOci('its layers are not those it speaks of')
  const hex = /([0-9a-f]{64})(\.json)?$/.exec(String(Config))?.[1] ?? ''
  return {
    digest: `sha256:${hex}`,
    config,
    layers: config.diffIds.map((diffId, at) => ({
      diffId,
      fetch: async () => kept(await must(files, String(names[at]))),
    })),
  }
}

async function readBlob(files: ImageFiles, digest: string): Promise<unknown> {
  return readDocument(await must(files, blobName(digest)), digest)
}

async function must(files: ImageFiles, name: string): Promise<string> {
  const file = await files(name)
  if (file) return file
  throw notOci(`it has no ${name.slice(0, 100)}`)
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

/** A file that is not ours to remove. */
function kept(file: string): { file: string } & AsyncDisposable {
  return { file, [Symbol.asyncDispose]: async () => {} }
}

/** The first digits of a digest, as people tell images apart. */
export function short(digest: string): string {
  return digest.replace('sha256:', '').slice(0, 12)
}
