import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { appPort, type PaasConfig, searchPath } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { newId, paths, printable } from '../../core/names.ts'
import type { Image, Layer, Say } from '../../core/types.ts'
import { exportImage } from '../image/export.ts'
import type { LayerWork } from '../image/layer-work.ts'
import { fetchBlob, mebibytes, readBytes, readManifest } from '../image/pull.ts'
import { digestOfOwn, type OwnName, parseOwnName } from '../image/own-name.ts'
import { parseReference, type Reference } from '../image/reference.ts'
import { openRegistry, type Registry } from '../image/registry.ts'
import type { RegistryAccess } from '../image/registry-door.ts'
import { stackLayers } from '../stack/stack.ts'
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
  /** The image of a release here. Failure: there is none. */
  release: (name: OwnName) => { version: number; image: Image }
  say: Say
  signal: AbortSignal
}

/** An image that the storage lacks, in files until it is disposed of. */
export type Fetched = { dir: string; pulls: (Pull & { digest: string })[] } & AsyncDisposable

type OwnImage = { layers: Layer[]; env: Record<string, string>; digest: string; label: string }

/** One of our own stacks, or a release of an app. Failure: there is none. */
function ownImage({ config, release }: BaseContext, name: string): OwnImage {
  const { run, build } = stackLayers(config)
  const stack = { 'paas/stack': run, 'paas/stack-build': build }[name]
  if (stack) return { layers: [stack], env: {}, digest: stack.key, label: stack.label }
  const own = parseOwnName(name)
  if (!own) throw new Error(`"${name}" is a registry's`)
  const { version, image } = release(own)
  const { layers, env } = image
  return { layers, env, digest: digestOfOwn(image), label: `v${version}` }
}

/** Their names are taken before any registry is asked. */
function isOwn(name: string): boolean {
  return parseOwnName(name) !== undefined
}

/** Names an image has in the storage: one of ours, and where it can have it, its own. */
export function storageNames({ name }: NamedImage): [string, string] {
  const own = `localhost/paas-base:${shortHash(name)}`
  if (isOwn(name)) return [own, `docker.io/${name}${name.includes(':') ? '' : ':latest'}`]
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
      const names = storageNames(image)
      const known = await cache.base(names[0])
      const place = { into: join(dir, String(at)), inside: `${basesTarget}/${at}` }
      const found = await fetchBase(image, known, place, context)
      if (found) fetched.pulls.push({ ...found, names })
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
  if (isOwn(name)) return exportOwn(name, known, place, context)
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
    throw unavailable(name, error)
  }
}

function unavailable(name: string, cause: Failure): Failure {
  const { code, hint } = cause
  const seen = `Could not get the base image ${printable(name)}: ${cause.message}`
  return new Failure(code === 'usage' ? 'failed' : code, seen, { ...(hint && { hint }), cause })
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

async function exportOwn(
  name: string,
  known: string | undefined,
  { into, inside }: Place,
  context: BaseContext,
): Promise<Found | undefined> {
  const { config, work, say, signal } = context
  const { layers, env: own, digest, label } = find(context, name)
  if (known === digest) return undefined
  say(`-----> Taking ${name} (${label})`)
  const image = { layers, processes: {}, env: own, language: 'image', workdir: '/' }
  const described = { image, argv: ['/bin/sh'], app: name, commit: null, port: appPort }
  const env = { PATH: searchPath }
  const exported = { ...described, user: { uid: 0, gid: 0 }, env, name, annotations: {} }
  const archive = Readable.from(exportImage(config, exported, work))
  await pipeline(archive, createWriteStream(into), { signal })
  return { source: `oci-archive:${inside}`, digest }
}

function find(context: BaseContext, name: string): OwnImage {
  try {
    return ownImage(context, name)
  } catch (error) {
    throw error instanceof Failure ? unavailable(name, error) : error
  }
}

function referenceOf(name: string): Reference {
  try {
    return parseReference(name)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure('failed', error.message, { ...(error.hint && { hint: error.hint }) })
  }
}
