import { chown, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser, type PaasConfig } from '../../core/config.ts'
import { newId, paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import { type Commit, readTreeId } from './checkout.ts'
import { ensureLayer, hasLayer } from '../layers/layers.ts'
import { extractTree } from './submodules.ts'
import type { Earlier } from './unchanged.ts'

/** The source layer's name: its tree, so that equal files are one layer whoever pushes them. */
export async function treeLayer(
  request: Commit & { extracted?: unknown },
  signal: AbortSignal,
): Promise<Layer> {
  const tree = await readTreeId(request, signal)
  const own = request.extracted ? `-${newId()}` : ''
  return {
    kind: 'app',
    key: `${keyPrefix}${tree}${own}`,
    label: `source ${request.commit.slice(0, 7)}`,
  }
}

const keyPrefix = 'app-1-'

/** Makes the source layer unless it is there. */
export async function ensureTree(
  request: Commit & { extracted?: unknown },
  config: PaasConfig,
  layer: Layer,
  signal: AbortSignal,
): Promise<'made' | 're-used'> {
  const make = async (dir: string) => {
    // Files that a plugin may write to must not be those of another layer too.
    const earlier = request.extracted ? undefined : earlierTree(config, request.before ?? [])
    await extractTo(request, dir, signal, earlier)
  }
  return ensureLayer(config, { layer, signal, make })
}

/** The source layer among these that no plugin could write to. */
function earlierTree(config: PaasConfig, layers: Layer[]): Earlier | undefined {
  for (const layer of layers) {
    const treeId = layer.key.slice(keyPrefix.length)
    if (!layer.key.startsWith(keyPrefix) || !/^[0-9a-f]{40,64}$/.test(treeId)) continue
    if (hasLayer(config, layer)) return { treeId, dir: join(paths(config).layer(layer), 'app') }
  }
  return undefined
}

/** Extracts into `<dir>/app`, and returns that. */
export async function extractTo(
  commit: Commit,
  dir: string,
  signal: AbortSignal,
  earlier?: Earlier,
): Promise<string> {
  const into = join(dir, 'app')
  await mkdir(into, { recursive: true })
  await chown(into, appUser, appUser)
  const scratch = join(dir, 'submodules')
  await extractTree(commit, { into, scratch }, signal, earlier)
  await rm(scratch, { recursive: true, force: true })
  return into
}
