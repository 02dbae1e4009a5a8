import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { errno } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import type { AptIndex } from './apt-index.ts'

/** A package as dpkg knows it; `source` is the name of its source package where that is another. */
export type DebianPackage = {
  name: string
  version: string
  architecture: string
  source: string | undefined
}

/** A package of which the suite has another version by now. */
export type Outdated = { name: string; installed: string; offered: string }

/**
 * What is installed in layers that lie on each other, lowest first: stack and apt layers only, for
 * they are what we made. Each has the whole list of dpkg, so that the highest knows all.
 */
export async function installedPackages(
  config: PaasConfig,
  layers: Layer[],
): Promise<DebianPackage[]> {
  const ours = layers.filter(({ kind }) => kind === 'stack' || kind === 'apt')
  for (const layer of ours.toReversed()) {
    const text = await readStatus(join(paths(config).layer(layer), 'var/lib/dpkg/status'))
    if (text !== undefined) return parseStatus(text)
  }
  return []
}

/** Reads dpkg's list. Pure. Leaves out what is removed and has only its settings left. */
export function parseStatus(text: string): DebianPackage[] {
  return text.split(/\n\n+/).flatMap((paragraph) => {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1]
    const [name, version, architecture] = ['Package', 'Version', 'Architecture'].map(field)
    if (field('Status') !== 'install ok installed' || !name || !version) return []
    const source = field('Source')?.split(' ')[0]
    return [{ name, version, architecture: architecture ?? 'all', source }]
  })
}

/** Those of which the index knows another version: the newer one that would be installed. */
export function outdatedBy(packages: DebianPackage[], index: AptIndex): Outdated[] {
  return packages.flatMap(({ name, version }) => {
    const offered = index.version(name)
    if (offered === undefined || offered === version) return []
    return [{ name, installed: version, offered }]
  })
}

async function readStatus(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}
