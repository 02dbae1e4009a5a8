import { createHash } from 'node:crypto'
import type { Image } from '../../core/types.ts'

/** Our images in the words of the OCI image specification. Pure. */

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  tar: 'application/vnd.oci.image.layer.v1.tar',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const

export type Descriptor = { mediaType: string; digest: string; size: number }

/** A document with the name that its bytes give it. */
export type Document = { descriptor: Descriptor; bytes: Buffer }

export type Described = {
  image: Image
  /** What the image runs unless told otherwise. */
  argv: string[]
  app: string
  commit: string | null
  /** Of each layer's tar, lowest first. */
  diffIds: string[]
  /** Environment of every process of any image, which the image's own goes before. */
  env: Record<string, string>
  port: number
  user: { uid: number; gid: number }
}

/**
 * The configuration of an image, equal for equal builds: what depends on the day or on the number
 * of a release is not in it, nor is the app's config.
 */
export function imageConfig(described: Described): Document {
  const { image, argv, app, commit, diffIds, port, user } = described
  const env: Record<string, string> = { ...described.env, ...image.env, PORT: String(port) }
  return document(mediaTypes.config, {
    created: epoch,
    architecture: architecture(),
    os: 'linux',
    config: {
      User: `${user.uid}:${user.gid}`,
      ExposedPorts: { [`${port}/tcp`]: {} },
      Env: Object.keys(env)
        .sort()
        .map((key) => `${key}=${env[key]}`),
      Cmd: argv,
      WorkingDir: image.workdir ?? '/app',
      Labels: {
        ...(commit && { 'org.opencontainers.image.revision': commit }),
        'paas.app': app,
        'paas.language': image.language,
        [processesLabel]: JSON.stringify(image.processes),
      },
    },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: image.layers.map(({ label }) => ({ created: epoch, created_by: `paas: ${label}` })),
  })
}

/** Holds the process types and their commands, as JSON, so that an import knows them again. */
export const processesLabel = 'paas.processes'

export function imageManifest(config: Document, layers: Descriptor[]): Document {
  const { descriptor } = config
  const { manifest: mediaType } = mediaTypes
  return document(mediaType, { schemaVersion: 2, mediaType, config: descriptor, layers })
}

/** The one document that says which release it was. */
export function imageIndex(manifest: Document, annotations: Record<string, string>): Document {
  const { index: mediaType } = mediaTypes
  const platform = { architecture: architecture(), os: 'linux' }
  const manifests = [{ ...manifest.descriptor, platform, annotations }]
  return document(mediaType, { schemaVersion: 2, mediaType, manifests })
}

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** `amd64`, in the words of Go, which the specification uses. */
export function architecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch
}

/** Layers have no times either: an image says that it is of the first second. */
const epoch = '1970-01-01T00:00:00Z'

function document(mediaType: string, value: unknown): Document {
  const bytes = Buffer.from(JSON.stringify(value))
  return { bytes, descriptor: { mediaType, digest: sha256(bytes), size: bytes.length } }
}
