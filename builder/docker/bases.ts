import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { searchPath, type PaasConfig } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { newId, paths, printable } from '../../core/names.ts'
import type { Layer, Say } from '../../core/types.ts'
import { exportImage } from '../image/export.ts'
import type { LayerWork } from '../image/layer-work.ts'
import { fetchBlob, mebibytes, readBytes, readManifest } from '../image/pull.ts'
import { parseReference, type Reference } from '../image/reference.ts'
import { openRegistry, type Registry } from '../image/registry.ts'
import type { RegistryAccess } from '../image/registry-door.ts'
import { stackLayers } from '../stack.ts'
import { type Cache, shortHash } from './cache.ts'
import type { NamedImage } from './dockerfile.ts'
import type { Pull } from './tool.ts'

/**
 * The images that a Dockerfile is made from are brought by paas itself: logins stay out of the
 * sandbox, and a registry on the server is reached only where an admin allows it.
 */

export type BaseContext = {
  config: PaasConfig
  work: LayerWork
  access: (host: string) => RegistryAccess
  say: Say
  signal: AbortSignal
}

/** An image that the storage lacks, in files until it is disposed of. */
export type Fetched = { dir: string; pulls: (Pull & { digest: string })[] } & AsyncDisposable

/** Our own stacks, as bases. Their names are taken before any registry is asked. */
function ownImage(config: PaasConfig, name: string): Layer | undefined {
  const { run, build } = stackLayers(config)
  return { [ownNames[0]]: run, [ownNames[1]]: build }[name]
}

const ownNames = ['paas/stack', 'paas/stack-build'] as const

/** Names an image has in the storage: one of ours, and where it can have it, its own. */
export function storageNames({ name }: NamedImage): [string, string] {
  const own = `localhost/paas-base:${shortHash(name)}`
  if (ownNames.some((one) => one === name)) return [own, `docker.io/${name}:latest`]
  const { host, repository, tag = 'latest', digest } = referenceOf(name)
  return [own, digest === undefined ? `${host}/${repository}:${tag}` : own]
}

/** Whether the build has to be told the name in the storage, for it cannot have its own there. */
export function isRenamed(image: NamedImage): boolean {
  const [own, second] = storageNames(image)
  return own === second
}

/** Fetches those that have changed since the storage got them. Failure: one cannot be had. */
export async function fetchBases(
  images: NamedImage[],
  cache: Cache,
  context: BaseContext,
): Promise<Fetched> {
  const dir = join(paths(context.config).making, `bases-${newId()}`)
  const fetched: Fetched = {
    dir,
    pulls: [],
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  }
  await mkdir(dir, { recursive: true })
  try {
    const once = new Map(images.map((image) => [image.name, image]))
    for (const [at, image] of [...once.values()].entries()) {
      const known = await cache.base(image.name)
      const place = { into: join(dir, String(at)), inside: `${basesTarget}/${at}` }
      const found = await fetchBase(image, known, place, context)
      if (found) fetched.pulls.push({ ...found, names: storageNames(image) })
    }
    return fetched
  } catch (error) {
    await fetched[Symbol.asyncDispose]()
    throw error
  }
}

/** Where the sandbox has the directory of what was fetched. */
export const basesTarget = '/bases'

type Place = { into: string; inside: string }
type Found = { source: string; digest: string }

async function fetchBase(
  { name }: NamedImage,
  known: string | undefined,
  place: Place,
  context: BaseContext,
): Promise<Found | undefined> {
  const own = ownImage(context.config, name)
  if (own) {
    if (known === own.key) return undefined
    await exportStack(name, own, place.into, context)
    return { source: `oci-archive:${place.inside}`, digest: own.key }
  }
  const reference = referenceOf(name)
  const { say, signal, access } = context
  try {
    using registry = openRegistry(reference, access(reference.host), signal)
    const { digest, bytes, manifest } = await readManifest(registry)
    if (known === digest) return undefined
    say(`-----> Fetching ${name}`)
    await mkdir(place.into)
    await writeFile(join(place.into, 'version'), 'Directory Transport Version: 1.1\n')
    await writeFile(join(place.into, 'manifest.json'), bytes)
    const { config, layers } = manifest
    await writeFile(fileOf(place, config.digest), await readBytes(registry, config))
    for (const layer of layers) {
      say(`       ${mebibytes(layer.size)}`)
      await fetchLayer(registry, layer, fileOf(place, layer.digest), context)
    }
    return { source: `dir:${place.inside}`, digest }
  } catch (error) {
    stopIfCancelled(signal)
    if (!(error instanceof Failure)) throw error
    if (known !== undefined && error.code === 'temporary') {
      say(` !     ${error.message}`)
      say(` !     ${name} is taken as it was fetched last`)
      return undefined
    }
    const seen = `Could not get the base image ${printable(name)}: ${error.message}`
    throw new Failure(error.code, seen, { ...(error.hint && { hint: error.hint }), cause: error })
  }
}

function fileOf({ into }: Place, digest: string): string {
  return join(into, digest.replace(/^sha256:/, ''))
}

async function fetchLayer(
  registry: Registry,
  layer: { mediaType: string; digest: string; size: number },
  file: string,
  { config, signal }: BaseContext,
): Promise<void> {
  await using blob = await fetchBlob(config, registry, layer, signal)
  await rename(blob.file, file)
}

async function exportStack(
  name: string,
  layer: Layer,
  file: string,
  { config, work, say, signal }: BaseContext,
): Promise<void> {
  say(`-----> Taking ${name} (${layer.label})`)
  const image = { layers: [layer], processes: {}, env: {}, language: 'stack', workdir: '/' }
  const described = { image, argv: ['/bin/sh'], app: name, commit: null, port: 5000 }
  const user = { uid: 0, gid: 0 }
  const exported = { ...described, user, env: { PATH: searchPath }, name, annotations: {} }
  await pipeline(Readable.from(exportImage(config, exported, work)), createWriteStream(file), {
    signal,
  })
}

function referenceOf(name: string): Reference {
  try {
    return parseReference(name)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure('failed', error.message, { ...(error.hint && { hint: error.hint }) })
  }
}
