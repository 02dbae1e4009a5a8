import { createReadStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { newId, paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import { pinLayers } from '../layers/pins.ts'
import type { Answer } from './http.ts'
import type { Compressed } from './layer-work.ts'
import { type LayerNote, readNote, writeNote } from './notes.ts'
import { type Described, type Descriptor, type Document, imageConfig } from './oci.ts'
import { imageManifest, mediaTypes } from './oci.ts'
import { mebibytes } from './pull.ts'
import { type Reference, referenceText } from './reference.ts'
import { openRegistry, type Registry, retrying } from './registry.ts'
import type { RegistryAccess } from './registry-door.ts'
import type { TakeContext } from './take.ts'

export type Push = {
  described: Omit<Described, 'diffIds'>
  reference: Reference
  access: RegistryAccess
}

/** What went over the wire: `bytes` of the blobs that were sent. */
export type Pushed = { digest: string; blobs: PushedBlob[]; bytes: number }
export type PushedBlob = { digest: string; bytes: number; outcome: Outcome }
type Outcome = 'there' | 'mounted' | 'sent'

/**
 * Brings an image to a registry. What is there already, or in another repository of the same
 * registry, is not sent; a layer is compressed only when its digest is not known, or it is to be
 * sent. Doing it again after a failure does what is left. Returns what was sent.
 */
export async function pushImage(
  config: PaasConfig,
  { described, reference, access }: Push,
  context: TakeContext,
): Promise<Pushed> {
  const { say, signal } = context
  using pins = pinLayers()
  const { layers } = described.image
  for (const { key } of layers) pins.add(key)
  using registry = openRegistry(reference, access, signal)
  registry.wants(`repository:${reference.repository}:pull,push`)
  const blobs: PushedBlob[] = []
  const [descriptors, diffIds]: [Descriptor[], string[]] = [[], []]
  for (const [at, layer] of layers.entries()) {
    const { note, outcome } = await pushLayer({ config, registry, context }, layer)
    const { digest, bytes } = note.gzip
    const said = { there: 'there already', mounted: 'in another repository', sent: 'sent' }[outcome]
    say(`       Layer ${at + 1} of ${layers.length}, ${layer.label}: ${said} (${mebibytes(bytes)})`)
    descriptors.push({ mediaType: mediaTypes.gzip, digest, size: bytes })
    diffIds.push(note.diffId)
    blobs.push({ digest, bytes, outcome })
  }
  const own = imageConfig({ ...described, diffIds })
  const { digest, size } = own.descriptor
  const isThere = await hasBlob(registry, digest)
  if (!isThere) await sendBytes(registry, own, signal)
  blobs.push({ digest, bytes: size, outcome: isThere ? 'there' : 'sent' })
  const manifest = imageManifest(own, descriptors)
  await putManifest(registry, manifest)
  const sent = blobs.filter((one) => one.outcome === 'sent')
  const bytes = sent.reduce((sum, one) => sum + one.bytes, 0)
  return { digest: manifest.descriptor.digest, blobs, bytes }
}

type Place = { config: PaasConfig; registry: Registry; context: TakeContext }

async function pushLayer(
  place: Place,
  layer: Layer,
): Promise<{ note: LayerNote & Compressed; outcome: Outcome }> {
  const { config, registry } = place
  const { host, repository } = registry.reference
  const known = await readNote(config, layer)
  await using file = blobFile(place, layer)
  let note = known?.gzip ? { ...known, gzip: known.gzip } : await file.make()
  const from = note.repositories?.[host]
  let outcome: Outcome = 'there'
  if (!(await hasBlob(registry, note.gzip.digest))) {
    const mounted = from && from !== repository && (await mount(registry, note, from))
    outcome = mounted ? 'mounted' : 'sent'
    if (!mounted) {
      // Another version of the compressor may have made other bytes, which then are the blob.
      note = { ...note, ...(await file.make()) }
      await upload(registry, { file: file.path, ...note.gzip }, place.context.signal)
    }
  }
  if (from === repository && known?.gzip?.digest === note.gzip.digest) return { note, outcome }
  note = { ...note, repositories: { ...note.repositories, [host]: repository } }
  await writeNote(config, layer, note)
  return { note, outcome }
}

/** The compressed layer as a file, made when it is first wanted, and removed in the end. */
function blobFile({ config, context }: Place, layer: Layer) {
  const { making, layer: dirOf } = paths(config)
  const path = join(making, `blob-${newId()}`)
  let made: Compressed | undefined
  return {
    path,
    async make(): Promise<LayerNote & Compressed> {
      await mkdir(making, { recursive: true })
      made ??= await context.work.compress(dirOf(layer), path)
      return made
    },
    [Symbol.asyncDispose]: () => rm(path, { force: true }),
  }
}

async function hasBlob(registry: Registry, digest: string): Promise<boolean> {
  const to = `blobs/${digest}`
  const answer = await registry.ask({ method: 'HEAD', to, accept: [200, 404] })
  answer.discard()
  return answer.status === 200
}

/** Has the registry take a blob over from another repository; false when it would not. */
async function mount(registry: Registry, note: Compressed, from: string): Promise<boolean> {
  registry.wants(`repository:${from}:pull`)
  const query = new URLSearchParams({ mount: note.gzip.digest, from })
  const to = `blobs/uploads/?${query}`
  const answer = await registry.ask({ method: 'POST', to, accept: [201, 202] })
  answer.discard()
  if (answer.status === 201) return true
  // It has begun an upload instead, which nobody goes on with.
  const cancel = {
    method: 'DELETE',
    to: registry.location(answer),
    accept: [200, 204, 404],
  } as const
  await registry.once({ ...cancel, accept: [...cancel.accept] }).then(
    (done) => done.discard(),
    () => {},
  )
  return false
}

/** What one request brings at most: proxies before registries often allow no more. */
const chunkBytes = 32 * 1024 * 1024

type Blob = { file: string; digest: string; bytes: number }

/** All of it again when it fails on the way: a half-sent blob is of no use to anybody. */
function upload(registry: Registry, blob: Blob, signal: AbortSignal): Promise<void> {
  return retrying(async () => {
    let url = await begin(registry)
    for (let from = 0; from < blob.bytes; from += chunkBytes) {
      const end = Math.min(from + chunkBytes, blob.bytes)
      const answer = await registry.once({
        method: 'PATCH',
        to: url,
        headers: {
          'content-type': 'application/octet-stream',
          'content-range': `${from}-${end - 1}`,
        },
        upload: {
          bytes: end - from,
          pieces: () => createReadStream(blob.file, { start: from, end: end - 1 }),
        },
        accept: [202],
      })
      answer.discard()
      url = registry.location(answer)
    }
    await complete(registry, url, blob.digest)
  }, signal)
}

function sendBytes(registry: Registry, { descriptor, bytes }: Document, signal: AbortSignal) {
  return retrying(async () => {
    await complete(registry, await begin(registry), descriptor.digest, bytes)
  }, signal)
}

async function begin(registry: Registry): Promise<URL> {
  const empty = Buffer.alloc(0)
  const to = 'blobs/uploads/'
  const answer = await registry.once({ method: 'POST', to, body: empty, accept: [202] })
  answer.discard()
  return registry.location(answer)
}

/** With the last bytes, where there are any; the registry compares the digest. */
async function complete(
  registry: Registry,
  url: URL,
  digest: string,
  body: Buffer = Buffer.alloc(0),
): Promise<void> {
  const to = new URL(url)
  to.searchParams.set('digest', digest)
  const headers = { 'content-type': 'application/octet-stream' }
  const answer = await registry.once({ method: 'PUT', to, headers, body, accept: [201] })
  answer.discard()
}

async function putManifest(registry: Registry, manifest: Document): Promise<void> {
  const { mediaType, digest } = manifest.descriptor
  const answer: Answer = await registry.ask({
    method: 'PUT',
    to: `manifests/${registry.reference.tag ?? 'latest'}`,
    headers: { 'content-type': mediaType },
    body: manifest.bytes,
    accept: [201],
  })
  answer.discard()
  const told = answer.header('docker-content-digest')
  if (told === undefined || told === digest) return
  const name = referenceText(registry.reference)
  throw new Failure('failed', `The registry keeps ${name} as ${told}, not as ${digest}`)
}
