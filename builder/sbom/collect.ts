import { constants } from 'node:fs'
import { open, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { errno, Failure, stopIfCancelled } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import type { Image, Layer } from '../../core/types.ts'
import { installedPackages, parseStatus } from '../stack/debian.ts'
import { pinLayers } from '../layers/pins.ts'
import { suite } from '../stack/stack.ts'
import { type Component, library } from './component.ts'
import { traces } from './installed.ts'
import { readJar } from './jar.ts'

const entriesMost = 1_000_000
const fileBytesMost = 16 * 1024 * 1024

/**
 * All that is known to be in an image: Debian packages, runtimes, and what package managers have
 * installed, each once, sorted. Reads the layers as they lie on the disk; links are not followed.
 */
export async function collectComponents(
  config: PaasConfig,
  image: Image,
  signal: AbortSignal,
): Promise<Component[]> {
  using pins = pinLayers()
  for (const { key } of image.layers) pins.add(key)
  const found: Component[] = []
  const debian = await installedPackages(config, image.layers)
  if (debian.length > 0) found.push({ type: 'operating-system', name: 'debian', version: suite })
  found.push(...debian.map(fromDebian))
  const walked = { entries: 0, signal }
  for (const layer of image.layers) {
    if (layer.kind === 'stack' || layer.kind === 'apt') continue
    if (layer.kind === 'runtime') found.push(...fromLabel(layer))
    else await collectIn(paths(config).layer(layer), '', { found, walked })
  }
  const unique = new Map(found.map((one) => [one.purl ?? `${one.name} ${one.version}`, one]))
  return [...unique.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one)
}

type Debian = ReturnType<typeof parseStatus>[number]

function fromDebian({ name, version, architecture, source }: Debian): Component {
  const upstream = source === undefined ? '' : `&upstream=${encodeURIComponent(source)}`
  return library(
    'deb',
    `debian/${name}`,
    version,
    `?arch=${architecture}&distro=${suite}${upstream}`,
  )
}

/** A runtime is named for people: `Node 24.21.0`. */
function fromLabel({ label }: Layer): Component[] {
  const [, name, version] = /^(.+?) \(?v?(\d[^\s)]*)\)?$/.exec(label) ?? []
  return [{ type: 'application', name: name ?? label, version: version ?? suite }]
}

type Collecting = { found: Component[]; walked: { entries: number; signal: AbortSignal } }

async function collectIn(root: string, at: string, to: Collecting): Promise<void> {
  for await (const entry of await opendir(join(root, at))) {
    stopIfCancelled(to.walked.signal)
    if (++to.walked.entries > entriesMost) {
      throw new Failure('failed', `The image has more than ${entriesMost} files`)
    }
    const path = at === '' ? entry.name : `${at}/${entry.name}`
    if (entry.isDirectory()) await collectIn(root, path, to)
    else if (entry.isFile()) to.found.push(...(await readTrace(root, path)))
  }
}

async function readTrace(root: string, path: string): Promise<Component[]> {
  if (path === 'var/lib/dpkg/status') {
    return parseStatus((await readBounded(join(root, path))) ?? '').map(fromDebian)
  }
  if (/\.[jw]ar$/.test(path)) return readJar(join(root, path))
  const trace = traces.find((one) => one.path.test(path))
  if (!trace) return []
  const text = await readBounded(join(root, path))
  return text === undefined ? [] : trace.read(text, path)
}

async function readBounded(file: string): Promise<string | undefined> {
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
    if ((await handle.stat()).size > fileBytesMost) return undefined
    return await handle.readFile('utf8')
  } catch (error) {
    if (errno(error) === 'ELOOP') return undefined
    throw error
  }
}
