import { rename, writeFile } from 'node:fs/promises'
import type { PaasConfig } from '../core/config.ts'
import { newId, paths } from '../core/names.ts'
import type { Layer, Say } from '../core/types.ts'
import { aptIndex } from './apt-index.ts'
import { installedPackages, type Outdated, outdatedBy } from './debian.ts'
import { withHostLock } from './host-lock.ts'
import { hasLayer } from './layers.ts'
import { ensureStack, newGeneration, stackLayers, type Stacks, stacksOf } from './stack.ts'

export type Renewal = {
  stacks: Stacks
  /** Packages of the stacks, and of the layers that were asked about, that had newer versions. */
  outdated: Outdated[]
  /** Whether there are new stacks; they are what new builds stand on. */
  made: boolean
}

/** Making both stacks takes a minute or two; a second call waits for the first. */
const lockTimeoutMs = 30 * 60_000

/**
 * Makes new stacks when Debian has newer versions of anything in those of now, or of the packages
 * that `above` (layers of images, lowest first) have on them; with `always` in any case. Old stacks
 * stay for as long as a release stands on them.
 */
export async function renewStacks(
  config: PaasConfig,
  { above, always }: { above: Layer[][]; always: boolean },
  { say, signal }: { say: Say; signal: AbortSignal },
): Promise<Renewal> {
  const limits = { signal, timeoutMs: lockTimeoutMs }
  return await withHostLock(config, `stack-${config.tag}`, limits, async () => {
    const now = await ensureStack(config, say, signal)
    const index = await aptIndex(config, { say, signal, fresh: true })
    const newer = new Map<string, Outdated>()
    const current = above.filter(([lowest]) => lowest?.key === now.run.key)
    for (const layers of [[now.run], [now.build], ...current]) {
      if (!layers.every((layer) => hasLayer(config, layer))) continue
      const found = outdatedBy(await installedPackages(config, layers), index)
      for (const one of found) newer.set(one.name, one)
    }
    const outdated = [...newer.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    if (outdated.length === 0 && !always) return { stacks: now, outdated, made: false }
    const generation = newGeneration()
    const stacks = await ensureStack(config, say, signal, stacksOf(generation))
    await keepGeneration(config, generation)
    return { stacks: stackLayers(config), outdated, made: stacks.run.key !== now.run.key }
  })
}

async function keepGeneration(config: PaasConfig, generation: string): Promise<void> {
  const { stackGeneration } = paths(config)
  const beside = `${stackGeneration}.${newId()}`
  await writeFile(beside, `${generation}\n`, { flush: true })
  await rename(beside, stackGeneration)
}
