import { readFile, stat } from 'node:fs/promises'
import { Failure } from '../../core/errors.ts'
import { architecture, type Descriptor, mediaTypes, sha256 } from './oci.ts'

/** The documents of foreign images, read with distrust. Pure but for `readDocument`. */

/** Of a manifest, an index or a configuration. */
export const documentBytesMost = 4 * 1024 * 1024

export type Manifest = { config: Descriptor; layers: Descriptor[] }
export type Index = { manifests: IndexEntry[] }
export type IndexEntry = Descriptor & {
  platform?: { os: string; architecture: string }
  name?: string
}

/** What of an image's configuration counts here; keys as the specification has them. */
export type ForeignConfig = {
  diffIds: string[]
  env: string[]
  entrypoint: string[]
  cmd: string[]
  user: string
  workdir: string
  ports: string[]
  volumes: string[]
  labels: Record<string, string>
}

/** A document of a file, with its bytes checked where its digest is known. */
export async function readDocument(file: string, digest?: string): Promise<unknown> {
  const { size } = await stat(file)
  if (size > documentBytesMost) throw notOci(`a document of it has ${size} bytes`)
  return parseDocument(await readFile(file), digest)
}

export function parseDocument(bytes: Buffer, digest?: string): unknown {
  if (digest !== undefined && sha256(bytes) !== digest) {
    throw notOci(`a document of it should be ${digest} and is ${sha256(bytes)}`)
  }
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw notOci('a document of it is no JSON')
  }
}

export function isIndex(value: unknown): boolean {
  return Array.isArray(record(value).manifests)
}

export function toIndex(value: unknown): Index {
  return { manifests: list(record(value).manifests).map(toIndexEntry) }
}

export function toManifest(value: unknown): Manifest {
  const { config, layers, schemaVersion } = record(value)
  if (schemaVersion !== 2) throw notOci('its manifest is of a version before 2')
  return { config: toDescriptor(config), layers: list(layers).map(toDescriptor) }
}

export function toConfig(value: unknown): ForeignConfig {
  const { config, rootfs, os = 'linux', architecture: built } = record(value)
  const here = architecture()
  if (os !== 'linux' || (built !== undefined && built !== here)) {
    throw new Failure('failed', `The image is for ${String(os)}/${String(built)}`, {
      hint: `This server runs linux/${here}: build the image for that`,
    })
  }
  const run = record(config ?? {})
  return {
    diffIds: texts(record(rootfs).diff_ids).map(digestOf),
    env: texts(run.Env),
    entrypoint: texts(run.Entrypoint),
    cmd: texts(run.Cmd),
    user: text(run.User),
    workdir: text(run.WorkingDir),
    ports: Object.keys(record(run.ExposedPorts ?? {})),
    volumes: Object.keys(record(run.Volumes ?? {})),
    labels: Object.fromEntries(
      Object.entries(record(run.Labels ?? {})).map(([key, one]) => [key, text(one)]),
    ),
  }
}

/** The image for this machine among those of an index; a Failure lists what there is instead. */
export function choosePlatform({ manifests }: Index, name?: string): IndexEntry {
  const here = architecture()
  const fitting = manifests.filter(({ platform }) => {
    return !platform || (platform.os === 'linux' && platform.architecture === here)
  })
  const named = fitting.filter((one) => name === undefined || one.name === name)
  const [first] = named
  if (first && named.every(({ digest }) => digest === first.digest)) return first
  if (first) {
    const names = named.map((one) => one.name ?? one.digest).join(', ')
    throw new Failure('failed', `The archive holds ${named.length} images: ${names}`, {
      hint: 'Write an archive of one image',
    })
  }
  const platforms = manifests.flatMap(({ platform }) => {
    return platform && platform.os !== 'unknown' ? [`${platform.os}/${platform.architecture}`] : []
  })
  throw new Failure('failed', `The image is not there for linux/${here}`, {
    hint: platforms.length > 0 ? `It is there for ${[...new Set(platforms)].join(', ')}` : '',
  })
}

export function notOci(seen: string): Failure {
  return new Failure('failed', `The image cannot be read: ${seen}`, {
    hint: 'It should be an OCI image, or what "docker save" writes',
  })
}

function toIndexEntry(value: unknown): IndexEntry {
  const { platform, annotations } = record(value)
  const { os, architecture: built } = record(platform ?? {})
  const name = record(annotations ?? {})['org.opencontainers.image.ref.name']
  return {
    ...toDescriptor(value),
    ...(platform !== undefined && { platform: { os: text(os), architecture: text(built) } }),
    ...(typeof name === 'string' && { name }),
  }
}

function toDescriptor(value: unknown): Descriptor {
  const { mediaType, digest, size, urls } = record(value)
  if (typeof size !== 'number' || !(size >= 0)) throw notOci('a part of it has no size')
  if (Array.isArray(urls) && urls.length > 0) throw notOci('a layer of it lies somewhere else')
  return { mediaType: text(mediaType) || mediaTypes.gzip, digest: digestOf(text(digest)), size }
}

function digestOf(value: string): string {
  if (/^sha256:[0-9a-f]{64}$/.test(value)) return value
  throw notOci(`"${value.slice(0, 80)}" is no digest`)
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw notOci('a document of it is not as it should be')
}

function list(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  throw notOci('a document of it is not as it should be')
}

function texts(value: unknown): string[] {
  return value === undefined || value === null ? [] : list(value).map(text)
}

function text(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string' && !value.includes('\0')) return value
  throw notOci('a document of it is not as it should be')
}
