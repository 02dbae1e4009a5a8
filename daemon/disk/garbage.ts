import { listLayers, removeLayers } from '../../builder/layers/ledger.ts'
import { noteUses, removeSharedLayers } from '../../builder/layers/shared.ts'
import { stackLayers } from '../../builder/stack/stack.ts'
import { limits } from '../../core/config.ts'
import { log, logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { packObjects } from '../code/refs.ts'

export type Garbage = {
  /** Collects in a moment, outside the time of whoever asks. */
  collectSoon: (app: App) => void
  /**
   * Collects now, for somebody who wants room, and returns the keys of the layers that went, shared
   * ones included.
   */
  collect: (signal: AbortSignal) => Promise<string[]>
}

/**
 * Removes layers that no release and no container needs, and measures what is new. Its failure
 * fails nothing.
 */
export function openGarbage(daemon: Daemon): Garbage {
  const never = new AbortController().signal
  const changed = new Set<string>()
  let planned = false
  let last: Promise<unknown> = Promise.resolve()

  /** One at a time: two would count and remove the same. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = last.then(work)
    last = next.catch(() => {})
    return next
  }

  async function collectChanged(): Promise<void> {
    const { apps = [], gone = [] } = Object.groupBy(changed, (name) =>
      daemon.store.findApp(name) ? 'apps' : 'gone',
    )
    changed.clear()
    await collectAll(daemon, never, limits.sharedUnusedMs)
    for (const app of apps) await packObjects(paths(daemon.config).repo(app))
    daemon.disk.forget({ layers: [], apps: gone })
    await daemon.disk.measure(apps)
  }

  return {
    collectSoon({ name }) {
      changed.add(name)
      if (planned) return
      planned = true
      setTimeout(() => {
        planned = false
        if (daemon.queue.busy()) return // whoever is last collects
        inTurn(collectChanged).catch((error) => logError('garbage-failed', error))
      }, 1000).unref()
    },
    collect: (signal) => inTurn(() => collectAll(daemon, signal, limits.sharedUnusedAskedMs)),
  }
}

async function collectAll(
  daemon: Daemon,
  signal: AbortSignal,
  sharedUnusedMs: number,
): Promise<string[]> {
  const { config, queue, store } = daemon
  // With no change in flight, every build that has ended is in the database or was in vain.
  const settledAt = queue.busy() ? undefined : performance.now()
  if (settledAt !== undefined) store.failStarting()
  const keep = neededKeys(daemon)
  const removed = await removeLayers(config, keep, settledAt)
  const own = listLayers(config)
  const stacks = Object.values(stackLayers(config)).map(({ key }) => key)
  await noteUses(config, [...[...keep].filter((key) => !own.has(key)), ...stacks])
  const shared = await removeSharedLayers(config, signal, Date.now() - sharedUnusedMs)
  if (removed.length + shared.length > 0) {
    log('garbage', { layers: removed.length, shared: shared.length })
  }
  daemon.disk.forget({ layers: [...removed, ...shared], apps: [] })
  return [...removed, ...shared]
}

/** Keys of the layers of every release that can be started, and of every container there is. */
function neededKeys({ store, fleet, runs }: Daemon): Set<string> {
  const keep = store.layerKeys()
  // One that drains may be of a release, or an app, that is no more.
  for (const { layers = [] } of [...fleet.all(), ...runs.all()]) {
    for (const key of layers) keep.add(key)
  }
  return keep
}
