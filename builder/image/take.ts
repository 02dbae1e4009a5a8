import { createHash } from 'node:crypto'
import { limits, type PaasConfig } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import type { Image, Layer, Say } from '../../core/types.ts'
import { pinLayers } from '../layers/pins.ts'
import { ensureLayer } from '../layers/layers.ts'
import type { ForeignConfig } from './documents.ts'
import type { LayerWork } from './layer-work.ts'
import { runSettings } from './run-settings.ts'

/** An image of somebody else's, wherever it comes from; its layers lie lowest first. */
export type ForeignImage = {
  /** How a person knows it: `nginx:1.27`, `image 1a2b3c4d5e6f`. */
  name: string
  config: ForeignConfig
  layers: ForeignLayer[]
  /** What runs in place of its own words. */
  processes?: Record<string, string>
  /** A stack of ours that may be its lowest layer, and what that is as a blob. */
  stack?: { layer: Layer; diffId: string }
  /** How many layers it may become, where that is fewer than an overlay holds. */
  layersMost?: number
}

export type ForeignLayer = {
  digest?: string
  diffId: string
  /** A file that holds the blob until it is disposed of. */
  fetch(): Promise<{ file: string } & AsyncDisposable>
}

export type TakeContext = { work: LayerWork; say: Say; signal: AbortSignal }

/**
 * Makes an image of ours of a foreign one: each layer a directory, named by what is in it and below
 * it, so that only what is new is fetched and unpacked. The image's own words become how its
 * processes run. Failure: it is damaged, too large, or would reach out of its own files.
 */
export async function takeImage(
  config: PaasConfig,
  foreign: ForeignImage,
  context: TakeContext,
): Promise<Image> {
  const { work, say } = context
  const { layers, present } = await takeLayers(config, foreign, context)
  say(`       Layers: ${layers.length - present} new, ${present} re-used`)
  const [passwd, group] = await readAccounts(config, layers, work)
  const settings = runSettings(foreign.config, { passwd, group }, foreign.processes)
  sayImage({ ...settings, layers, language: 'image' }, foreign, say)
  return { ...settings, layers, language: 'image' }
}

/**
 * The layers alone, for whoever has use for the files and not for what the image says of itself;
 * `present` of them were here before.
 */
export async function takeLayers(
  config: PaasConfig,
  foreign: ForeignImage,
  { work, say, signal }: TakeContext,
): Promise<{ layers: Layer[]; present: number }> {
  checkLayers(foreign)
  using pins = pinLayers()
  const layers: Layer[] = []
  let bytesLeft: number = limits.imageBytes
  let present = 0
  for (const { layer, parts } of planLayers(foreign)) {
    if (parts.length === 0) {
      present += 1
      layers.push(layer)
      continue
    }
    pins.add(layer.key)
    const lowers = layers.map((one) => paths(config).layer(one))
    const make = async (dir: string) => {
      for (const part of parts) {
        stopIfCancelled(signal)
        await using blob = await part.fetch()
        const { file } = blob
        const { diffId, digest } = part
        const bounds = { bytesMost: bytesLeft, entriesMost: limits.imageEntries }
        const known = digest === undefined ? {} : { digest }
        const done = await work.unpack({ file, diffId, ...known, dir, lowers, ...bounds })
        bytesLeft -= done.bytes
        for (const warning of done.warnings) say(` !     ${warning}`)
      }
    }
    if ((await ensureLayer(config, { layer, make, signal })) === 're-used') present += 1
    layers.push(layer)
  }
  return { layers, present }
}

function checkLayers({ layers }: ForeignImage): void {
  if (layers.length === 0) throw new Failure('failed', 'The image has no files')
  if (layers.length <= limits.imageLayers) return
  throw new Failure('failed', `The image has ${layers.length} layers`, {
    hint: `At most ${limits.imageLayers} are taken`,
  })
}

/** An overlay can hold about thirty; of an image with more the lowest are laid into one. */
const separateMost = 24

/** Grows when unpacking changes, so that layers unpacked the old way are not re-used. */
const format = 1

/** Without parts: it is one of ours, and there. */
type Planned = { layer: Layer; parts: ForeignLayer[] }

/** What becomes a layer of ours: mostly each layer by itself. Pure. */
export function planLayers(image: ForeignImage): Planned[] {
  const { name, layersMost = separateMost, stack } = image
  const stands = stack && image.layers[0]?.diffId === stack.diffId
  const own: Planned[] = stands ? [{ parts: [], layer: stack.layer }] : []
  const layers = image.layers.slice(own.length)
  const together = Math.max(1, image.layers.length - layersMost + 1)
  const groups = [layers.slice(0, together), ...layers.slice(together).map((one) => [one])]
  let chain = stands ? hash(` ${stack.diffId}`) : ''
  const others = groups.filter((parts) => parts.length > 0)
  const planned = others.map((parts, at) => {
    for (const { diffId } of parts) chain = hash(`${chain} ${diffId}`)
    const key = `image-${hash(`${format} ${parts.length} ${chain}`).slice(0, 32)}`
    const label = others.length === 1 ? name : `${name} ${at + 1}/${others.length}`
    return { parts, layer: { kind: 'image' as const, key, label } }
  })
  return [...own, ...planned]
}

const accountBytesMost = 1024 * 1024

/** The image's own users and groups, as its files have them. */
export async function readAccounts(
  config: PaasConfig,
  layers: Layer[],
  work: LayerWork,
): Promise<[passwd: string, group: string]> {
  const dirs = layers.map((layer) => paths(config).layer(layer))
  const read = (path: string) => work.readText({ dirs, path, bytesMost: accountBytesMost })
  return [(await read('etc/passwd')) ?? '', (await read('etc/group')) ?? '']
}

function sayImage(image: Image, { config: { volumes } }: ForeignImage, say: Say): void {
  const { user, port, workdir = '/' } = image
  for (const [type, command] of Object.entries(image.processes)) say(`       ${type}: ${command}`)
  const who = user?.uid === 0 ? 'root of its own container' : user?.uid
  say(`       In ${workdir} as ${who ?? 'app'}, ${port ? `on port ${port}` : 'on $PORT'}`)
  for (const path of volumes) {
    say(` !     The image calls ${path} a volume: without a storage there it begins anew each time`)
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
