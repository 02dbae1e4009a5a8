import type { PaasConfig } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import { pinLayers } from '../layers/pins.ts'
import type { LayerDigest, LayerWork } from './layer-work.ts'
import { readNote, writeNote } from './notes.ts'
import { type Described, type Document, imageConfig, imageIndex, imageManifest } from './oci.ts'
import { mediaTypes } from './oci.ts'
import { padding, tarEnd, tarHeader } from './tar-header.ts'

export type Export = Omit<Described, 'diffIds'> & {
  /** How the image is named where it is loaded: `shop:v7`. */
  name: string
  annotations: Record<string, string>
}

/**
 * An image as an archive: an OCI image layout that `docker load` takes too. In pieces, made while
 * they are read, so that an image of any size needs little memory and no place on the disk.
 */
export async function* exportImage(
  config: PaasConfig,
  exported: Export,
  work: LayerWork,
): AsyncGenerator<Uint8Array> {
  using pins = pinLayers()
  const { layers } = exported.image
  for (const { key } of layers) pins.add(key)
  const digests: LayerDigest[] = []
  for (const layer of layers) digests.push(await layerDigest(config, layer, work))
  const diffIds = digests.map(({ diffId }) => diffId)
  const own = imageConfig({ ...exported, diffIds })
  const manifest = imageManifest(
    own,
    digests.map(({ diffId, bytes }) => ({
      mediaType: mediaTypes.tar,
      digest: diffId,
      size: bytes,
    })),
  )
  const index = imageIndex(manifest, exported.annotations)

  yield* file('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'))
  yield directory('blobs')
  yield directory('blobs/sha256')
  const written = new Set<string>()
  for (const [at, layer] of layers.entries()) {
    const { diffId = '', bytes = 0 } = digests[at] ?? {}
    if (written.has(diffId)) continue // two layers of equal content are one blob
    written.add(diffId)
    yield tarHeader({ path: blobPath(diffId), size: bytes, ...plainFile })
    yield* exactly(work.read(paths(config).layer(layer)), bytes, layer)
    yield Buffer.alloc(padding(bytes))
  }
  yield* blob(own)
  yield* blob(manifest)
  yield* file('index.json', index.bytes)
  yield* file('manifest.json', dockerManifest(own, diffIds, exported.name))
  yield tarEnd
}

/** From the note, or by reading the layer once. */
export async function layerDigest(
  config: PaasConfig,
  layer: Layer,
  work: LayerWork,
): Promise<LayerDigest> {
  const known = await readNote(config, layer)
  if (known) return known
  const found = await work.digest(paths(config).layer(layer))
  await writeNote(config, layer, found)
  return found
}

const plainFile = { kind: 'file', mode: 0o644, uid: 0, gid: 0 } as const

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

function blob({ descriptor, bytes }: Document): Generator<Uint8Array> {
  return file(blobPath(descriptor.digest), bytes)
}

function* file(path: string, bytes: Buffer): Generator<Uint8Array> {
  yield tarHeader({ path, size: bytes.length, ...plainFile })
  yield bytes
  yield Buffer.alloc(padding(bytes.length))
}

function directory(path: string): Uint8Array {
  return tarHeader({ path, kind: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0 })
}

async function* exactly(
  pieces: AsyncIterable<Uint8Array>,
  bytes: number,
  layer: Layer,
): AsyncGenerator<Uint8Array> {
  let seen = 0
  for await (const piece of pieces) {
    seen += piece.length
    if (seen > bytes) break
    yield piece
  }
  if (seen !== bytes) throw new Error(`layer ${layer.key} is not what it was: ${seen} of ${bytes}`)
}

/** What `docker load` read before it knew of OCI layouts. */
function dockerManifest({ descriptor }: Document, diffIds: string[], name: string): Buffer {
  const entry = {
    Config: blobPath(descriptor.digest),
    RepoTags: [name],
    Layers: diffIds.map(blobPath),
  }
  return Buffer.from(JSON.stringify([entry]))
}
