import type { PaasConfig } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { paths, printable } from '../../core/names.ts'
import type { Image, Layer, Say } from '../../core/types.ts'
import { type DebianPackage, parseStatus } from '../stack/debian.ts'
import type { ImageTools } from '../docker/build.ts'
import type { LayerWork } from '../image/layer-work.ts'
import { digestOfOwn, type OwnName, parseOwnName } from '../image/own-name.ts'
import { readForeign } from '../image/pull.ts'
import { parseReference } from '../image/reference.ts'
import { openRegistry } from '../image/registry.ts'
import { environment as pairs } from '../image/run-settings.ts'
import { takeLayers } from '../image/take.ts'
import { pinLayers } from '../layers/pins.ts'
import { hasLayer } from '../layers/layers.ts'
import { ensureAccounts } from './accounts.ts'

/** Which image an app wants beneath it, and who says so. */
export type BaseWish = { name: string; from: string }

/** What an app is built and run on in the place of both stacks. */
export type Base = BaseWish & {
  /** Of a registry's image its own; of a release here, that of its layers and environment. */
  digest: string
  /** Which release it is, where it is one of ours. */
  release: string | undefined
  /** Lowest first; the highest has the app's user. */
  layers: Layer[]
  env: Record<string, string>
  packages: DebianPackage[]
  /** What runtimes of ours need, and not every image has. */
  has: { shell: boolean; glibc: boolean; certificates: boolean }
}

export type BaseTools = ImageTools & {
  config: PaasConfig
  /** What the app stands on now, if on a base. */
  last: LastBase | undefined
  say: Say
  signal: AbortSignal
}

export type LastBase = Pick<Base, 'name' | 'digest' | 'layers' | 'env'>

/** What an image says that it stands on. */
export function lastBase({ base, layers }: Image): LastBase | undefined {
  return base && { ...base, layers: layers.slice(0, base.layers) }
}

/**
 * Brings an image here to build on. Its name is looked up anew each time: a tag that has moved on
 * is another base; while a registry does not answer, what the app stands on now is taken again. Of
 * its own words the environment alone counts. Failure: it cannot be had, it is of another
 * architecture, it has no shell.
 */
export async function takeBase(wish: BaseWish, tools: BaseTools): Promise<Base> {
  try {
    return await take(wish, tools)
  } catch (error) {
    stopIfCancelled(tools.signal)
    if (!(error instanceof Failure)) throw error
    const { message, hint, cause } = error
    const seen = `Could not take the base ${printable(wish.name)} (${wish.from}): ${message}`
    throw new Failure(error.code === 'usage' ? 'failed' : error.code, seen, {
      ...(hint && { hint }),
      cause: cause ?? error,
    })
  }
}

async function take(wish: BaseWish, tools: BaseTools): Promise<Base> {
  const { config, signal } = tools
  using pins = pinLayers()
  const own = parseOwnName(wish.name)
  await using work = tools.openWork(signal)
  const found = own ? findOwn(own, tools) : await fetchOrKeep(wish.name, { ...tools, work })
  for (const { key } of found.layers) pins.add(key)
  const accounts = await ensureAccounts(config, found.layers, { work, signal })
  const layers = [...found.layers, accounts]
  const dirs = layers.map((layer) => paths(config).layer(layer))
  const read = (path: string) => work.readText({ dirs, path, bytesMost: fileBytesMost })
  const isThere = async (path: string) => (await read(path)) !== undefined
  const packages = parseStatus((await read('var/lib/dpkg/status')) ?? '')
  const has = {
    shell: await isThere('bin/sh'),
    glibc: await isThere(loaders[process.arch] ?? ''),
    certificates: await isThere('etc/ssl/certs/ca-certificates.crt'),
  }
  if (!has.shell) {
    throw new Failure('failed', 'it has no /bin/sh, with which processes are started', {
      hint: `Take one that has, or build with a Dockerfile that begins: FROM ${printable(wish.name)}`,
    })
  }
  return { ...wish, ...found, layers, packages, has }
}

const fileBytesMost = 32 * 1024 * 1024

/** Where glibc's own loader is; others are somewhere else. */
const loaders: Record<string, string> = {
  x64: 'lib64/ld-linux-x86-64.so.2',
  arm64: 'lib/ld-linux-aarch64.so.1',
}

type Found = Pick<Base, 'digest' | 'release' | 'layers' | 'env'>

function findOwn(own: OwnName, { release }: BaseTools): Found {
  const { version, image } = release(own)
  const { layers, env } = image
  return { digest: digestOfOwn(image), release: `v${version}`, layers, env }
}

async function fetchOrKeep(name: string, tools: BaseTools & { work: LayerWork }): Promise<Found> {
  const { config, last, say } = tools
  try {
    return await fetchForeign(name, tools)
  } catch (error) {
    const isAway = error instanceof Failure && error.code === 'temporary'
    const isHere = last?.name === name && last.layers.every((layer) => hasLayer(config, layer))
    if (!isAway || !last || !isHere) throw error
    say(` !     ${error.message}`)
    say(` !     The base ${name} is taken as the app has it now`)
    return { ...last, release: undefined }
  }
}

/** An overlay must have room for what is laid on top. */
const layersMost = 16

async function fetchForeign(
  name: string,
  { config, access, work, say, signal }: BaseTools & { work: LayerWork },
): Promise<Found> {
  const reference = parseReference(name)
  using registry = openRegistry(reference, access(reference.host), signal)
  const { digest, foreign } = await readForeign(config, registry, { say, signal })
  const { layers } = await takeLayers(config, { ...foreign, layersMost }, { work, say, signal })
  return { digest, release: undefined, layers, env: pairs(foreign.config.env) }
}
