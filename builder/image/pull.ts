import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { limits, type PaasConfig } from '../../core/config.ts'
import { diskFull, Failure, isDiskFull } from '../../core/errors.ts'
import { newId, paths } from '../../core/names.ts'
import { choosePlatform, documentBytesMost, isIndex, notOci } from './documents.ts'
import { parseDocument, toConfig, toIndex, toManifest } from './documents.ts'
import { fail } from './http.ts'
import type { Taken } from './import.ts'
import { type Descriptor, mediaTypes, sha256 } from './oci.ts'
import { type Reference, referenceText } from './reference.ts'
import { openRegistry, type Registry, retrying } from './registry.ts'
import type { RegistryAccess } from './registry-door.ts'
import { type ForeignImage, type TakeContext, takeImage } from './take.ts'

/**
 * Takes an image out of a registry. Only layers that are not here yet are fetched; every byte is
 * checked against the digest that leads to it. Failures as of `takeImage`, and of the registry.
 */
export async function importFromRegistry(
  config: PaasConfig,
  wanted: { reference: Reference; access: RegistryAccess },
  context: TakeContext,
): Promise<Taken> {
  const { reference, access } = wanted
  using registry = openRegistry(reference, access, context.signal)
  const { digest, foreign } = await readForeign(config, registry, context)
  context.say(`       ${referenceText({ ...reference, digest })}`)
  return { image: await takeImage(config, foreign, context), digest }
}

/** What a registry has under a name, checked as far as it can be without its layers. */
export async function readForeign(
  config: PaasConfig,
  registry: Registry,
  { say, signal }: Pick<TakeContext, 'say' | 'signal'>,
): Promise<{ digest: string; foreign: ForeignImage }> {
  const { reference } = registry
  const { digest, manifest } = await readManifest(registry)
  const { config: described, layers } = manifest
  const found = await readBytes(registry, described)
  const own = toConfig(parseDocument(found, described.digest))
  if (own.diffIds.length !== layers.length) throw notOci('its layers are not those it speaks of')
  const foreign = {
    name: referenceText({ host: reference.host, repository: reference.repository }),
    config: own,
    layers: layers.map((layer, at) => ({
      digest: layer.digest,
      diffId: own.diffIds[at] ?? '',
      fetch: async () => {
        say(`       Fetching layer ${at + 1} of ${layers.length} (${mebibytes(layer.size)})`)
        return await fetchBlob(config, registry, layer, signal)
      },
    })),
  }
  return { digest, foreign }
}

/** The manifest of the image for this machine, and its digest. */
export async function readManifest(registry: Registry) {
  const { reference } = registry
  let wanted = reference.digest ?? reference.tag ?? 'latest'
  for (let depth = 0; depth < 3; depth++) {
    const { bytes, digest } = await readDocumentOf(registry, wanted)
    const value = parseDocument(bytes)
    if (!isIndex(value)) return { digest, bytes, manifest: toManifest(value) }
    wanted = choosePlatform(toIndex(value)).digest
  }
  throw notOci('its indexes have no end')
}

async function readDocumentOf(registry: Registry, wanted: string) {
  const { index, manifest, dockerIndex, dockerManifest } = mediaTypes
  const answer = await registry.ask({
    method: 'GET',
    to: `manifests/${wanted}`,
    headers: { accept: [index, manifest, dockerIndex, dockerManifest].join(', ') },
    accept: [200],
  })
  const bytes = await answer.bytes(documentBytesMost)
  const digest = sha256(bytes)
  if (wanted.startsWith('sha256:') && digest !== wanted) {
    throw notOci(`its manifest should be ${wanted} and is ${digest}`)
  }
  return { bytes, digest }
}

export async function readBytes(registry: Registry, { digest, size }: Descriptor): Promise<Buffer> {
  if (size > documentBytesMost) throw notOci(`its configuration has ${size} bytes`)
  const answer = await registry.ask({ method: 'GET', to: `blobs/${digest}`, accept: [200] })
  return answer.bytes(documentBytesMost)
}

/** A blob in a file that is there until it is disposed of. */
export async function fetchBlob(
  config: PaasConfig,
  registry: Registry,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<{ file: string } & AsyncDisposable> {
  if (size > limits.imageBytes) throw notOci(`a layer of it has ${size} bytes`)
  const file = join(paths(config).making, `blob-${newId()}`)
  await mkdir(paths(config).making, { recursive: true })
  const remove = () => rm(file, { force: true })
  try {
    await retrying(() => download(registry, { digest, size, file, signal }), signal)
  } catch (error) {
    await remove()
    throw isDiskFull(error) ? diskFull(error) : error
  }
  return { file, [Symbol.asyncDispose]: remove }
}

async function download(
  registry: Registry,
  blob: { digest: string; size: number; file: string; signal: AbortSignal },
): Promise<void> {
  const { digest, size, file, signal } = blob
  const answer = await registry.once({ method: 'GET', to: `blobs/${digest}`, accept: [200] })
  const hash = createHash('sha256')
  let bytes = 0
  const checked = async function* (pieces: AsyncIterable<Buffer>) {
    for await (const piece of pieces) {
      bytes += piece.length
      if (bytes > size) throw notOci(`a layer of it has more than its ${size} bytes`)
      hash.update(piece)
      yield piece
    }
  }
  try {
    await pipeline(answer.stream, checked, createWriteStream(file), { signal })
  } catch (error) {
    if (isDiskFull(error)) throw error
    fail({ host: registry.reference.host, signal }, error)
  }
  const found = `sha256:${hash.digest('hex')}`
  if (found === digest) return
  throw new Failure('temporary', `A layer came damaged: it should be ${digest} and is ${found}`, {
    hint: 'Try again; if it comes damaged each time, the registry has it so',
  })
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`
}
