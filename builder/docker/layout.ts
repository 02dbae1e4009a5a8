import { lstat, mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { readLayout } from '../image/import.ts'
import { type ForeignImage, planLayers } from '../image/take.ts'
import { isInside } from '../source/inside.ts'
import { hasLayer } from '../layers/layers.ts'

/**
 * The last image as an OCI layout. Blobs of layers that have become layers of ours are hollow: as
 * long as before, without content. Whoever writes the next image finds them there and leaves them.
 */

export type Read = Awaited<ReturnType<typeof readLayout>>

export const layoutImage = 'image'

/**
 * Root is to read, empty and remove files by their names in there, where the build may have put
 * links. Failure: its directories are not directories.
 */
export async function requireLayout(out: string): Promise<void> {
  if (await isInside(out, 'layout/blobs/sha256')) return
  throw new Failure('failed', 'The build has left no image that can be read', {
    hint: 'To build with nothing that earlier builds have kept: ps:rebuild <app> --no-cache',
  })
}

/**
 * Before the first export of an app: a blob of which layer and size are known is there, hollow, so
 * that nobody writes it whole for us to drop it.
 */
export async function layHollow(dir: string, blob: { diffId: string; bytes: number }) {
  if (await lstat(dir).catch(() => undefined)) return // has been written: nothing is known of it
  const file = blobFile(dir, blob.diffId)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, '', { flag: 'wx' })
  await truncate(file, blob.bytes)
}

/** Whether everything that is still to be taken is there with its content. */
export async function isWhole(
  config: PaasConfig,
  dir: string,
  image: ForeignImage,
): Promise<boolean> {
  for (const { layer, parts } of planLayers(image)) {
    if (hasLayer(config, layer)) continue
    for (const { digest = '' } of parts) {
      const seen = await lstat(blobFile(dir, digest)).catch(() => undefined)
      if (!seen?.isFile() || (seen.size > 0 && seen.blocks === 0)) return false
    }
  }
  return true
}

/** Takes the content of layers away, and the blobs of images before this one. */
export async function hollowOut(
  dir: string,
  { digest, layers }: Pick<Read, 'digest' | 'layers'>,
): Promise<void> {
  const blobs = join(dir, 'blobs/sha256')
  const kept = new Set(layers.map((layer) => nameOf(layer.digest ?? '')))
  const documents = new Set([nameOf(digest)])
  for (const name of await readdir(blobs)) {
    const file = join(blobs, name)
    const seen = await lstat(file)
    if (!seen.isFile() || !kept.has(name)) {
      // Its configuration is small, and is written anew each time.
      if (!documents.has(name)) await rm(file, { recursive: true, force: true })
      continue
    }
    const { size } = seen
    await truncate(file, 0)
    await truncate(file, size)
  }
}

function blobFile(dir: string, digest: string): string {
  return join(dir, 'blobs/sha256', nameOf(digest))
}

function nameOf(digest: string): string {
  return digest.replace(/^sha256:/, '')
}
