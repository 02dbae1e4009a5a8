import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { errno } from '../../core/errors.ts'
import { newId, paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import type { Compressed, LayerDigest } from './layer-work.ts'

/** What was once found out of a layer as a blob: a few lines beside the layers, not the blob. */
export type LayerNote = LayerDigest &
  Partial<Compressed> & {
    /** Where a registry has it already: a repository by registry. */
    repositories?: Record<string, string>
  }

/** What is known of the layer as it lies there now. */
export async function readNote(config: PaasConfig, layer: Layer): Promise<LayerNote | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(noteFile(config, layer.key), 'utf8'))
    return isNote(value) && value.of === (await identity(config, layer)) ? value : undefined
  } catch (error) {
    if (errno(error) === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Keeps a note for as long as its layer is there, and forgets those of layers that are gone. */
export async function writeNote(config: PaasConfig, layer: Layer, note: LayerNote): Promise<void> {
  const { layerNotes } = paths(config)
  await mkdir(layerNotes, { recursive: true })
  const file = noteFile(config, layer.key)
  const beside = `${file}.${newId()}`
  await writeFile(beside, JSON.stringify({ ...note, of: await identity(config, layer) }))
  await rename(beside, file)
  await forgetGone(config)
}

async function forgetGone(config: PaasConfig): Promise<void> {
  const { layerNotes, layers, sharedLayers } = paths(config)
  for (const name of await readdir(layerNotes)) {
    const key = name.replace(/\.json$/, '')
    if (key !== name && [layers, sharedLayers].some((dir) => existsSync(join(dir, key)))) continue
    const isNew = key === name && !(await isOld(join(layerNotes, name)))
    if (!isNew) await rm(join(layerNotes, name), { force: true })
  }
}

const halfWrittenMs = 60_000

async function isOld(file: string): Promise<boolean> {
  const seen = await stat(file).catch(() => undefined)
  return seen === undefined || Date.now() - seen.mtimeMs > halfWrittenMs
}

/** A layer that was removed and made again under its key need not have the same bytes. */
async function identity(config: PaasConfig, layer: Layer): Promise<string> {
  const { ino, birthtimeNs } = await stat(paths(config).layer(layer), { bigint: true })
  return `${ino}.${birthtimeNs}`
}

function noteFile(config: PaasConfig, key: string): string {
  return join(paths(config).layerNotes, `${key}.json`)
}

function isNote(value: unknown): value is LayerNote & { of: string } {
  if (typeof value !== 'object' || value === null) return false
  return 'of' in value && 'diffId' in value && 'bytes' in value
}
