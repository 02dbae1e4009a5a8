import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser, type PaasConfig } from '../core/config.ts'
import { newId } from '../core/names.ts'
import type { Layer } from '../core/types.ts'
import { type Commit, extractCommit, readTreeId } from './checkout.ts'
import { ensureLayer } from './layers.ts'

/** The source layer's name: its tree, so that equal files are one layer whoever pushes them. */
export async function treeLayer(
  request: Commit & { extracted?: unknown },
  signal: AbortSignal,
): Promise<Layer> {
  const tree = await readTreeId(request, signal)
  const own = request.extracted ? `-${newId()}` : ''
  return { kind: 'app', key: `app-1-${tree}${own}`, label: `source ${request.commit.slice(0, 7)}` }
}

/** Makes the source layer unless it is there. */
export async function ensureTree(
  request: Commit,
  config: PaasConfig,
  layer: Layer,
  signal: AbortSignal,
): Promise<'made' | 're-used'> {
  const make = async (dir: string) => {
    await extractTo(request, dir, signal)
  }
  return ensureLayer(config, { layer, signal, make })
}

/** Extracts into `<dir>/app`, and returns that. */
export async function extractTo(commit: Commit, dir: string, signal: AbortSignal): Promise<string> {
  const into = join(dir, 'app')
  await mkdir(into, { recursive: true })
  await chown(into, appUser, appUser)
  await extractCommit(commit, into, signal)
  return into
}
