import { stat } from 'node:fs/promises'
import { knownAptIndex } from '../../builder/stack/apt-index.ts'
import { installedPackages, outdatedBy } from '../../builder/stack/debian.ts'
import { listSharedLayers } from '../../builder/layers/shared.ts'
import { stackLayers } from '../../builder/stack/stack.ts'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'

export type StackFacts = {
  key: string
  madeAt: string
  /** Whether new builds stand on it. */
  newest: boolean
  packages: number
  /** How many of them have newer versions, as Debian's lists were last read; null if never. */
  outdated: number | null
  /** Apps whose current release stands on it. */
  apps: string[]
  /** Releases that can be gone back to. */
  releases: number
}

/** The stacks of the host that images stand on, newest last. Asks no mirror. */
export async function listStacks(daemon: Daemon): Promise<StackFacts[]> {
  const { config, store } = daemon
  const newest = stackLayers(config).run.key
  const keys = await listSharedLayers(config)
  const index = await knownAptIndex(config)
  const used = usesByKey(daemon)
  const facts: StackFacts[] = []
  for (const key of keys.filter((one) => /^stack-\w+-run-/.test(one))) {
    const layer: Layer = { kind: 'stack', key, label: key }
    const packages = await installedPackages(config, [layer])
    const { ctime } = await stat(paths(config).layer(layer))
    facts.push({
      key,
      madeAt: ctime.toISOString(),
      newest: key === newest,
      packages: packages.length,
      outdated: index ? outdatedBy(packages, index).length : null,
      apps: store
        .apps()
        .filter(({ name }) => store.currentRelease(name)?.image.layers[0]?.key === key)
        .map(({ name }) => name),
      releases: used.get(key) ?? 0,
    })
  }
  return facts.sort((a, b) => (a.madeAt < b.madeAt ? -1 : 1))
}

function usesByKey({ store }: Daemon): Map<string, number> {
  const used = new Map<string, number>()
  for (const app of store.apps()) {
    for (const { image, status } of store.releases(app)) {
      const key = image.layers[0]?.key
      if (key !== undefined && status === 'live') used.set(key, (used.get(key) ?? 0) + 1)
    }
  }
  return used
}
