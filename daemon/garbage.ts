import { removeLayers } from '../builder/layers.ts'
import { log, logError } from '../core/log.ts'
import { paths } from '../core/names.ts'
import type { App } from '../core/types.ts'
import type { Daemon } from './daemon.ts'
import { packObjects } from './refs.ts'

/**
 * Removes layers that no release and no container needs, when nothing is being changed: a build in
 * flight may have made a layer that no release names yet. Its failure fails nothing.
 */
export function openGarbage(daemon: Daemon): (app: App) => void {
  let planned = false
  const changed = new Set<string>()
  return function collectSoon({ name }: App): void {
    changed.add(name)
    if (planned) return
    planned = true
    setTimeout(() => {
      planned = false
      if (daemon.queue.busy()) return // whoever is last collects
      const apps = [...changed]
      changed.clear()
      collect(daemon, apps).catch((error) => logError('garbage-failed', error))
    }, 1000).unref()
  }
}

async function collect(daemon: Daemon, changed: string[]): Promise<void> {
  const keep = daemon.store.layerKeys()
  for (const { app, release } of daemon.fleet.all()) {
    const found = daemon.store.findApp(app)
    if (!found) continue
    const row = daemon.store.releases(found).find(({ version }) => version === release)
    for (const { key } of row?.image.layers ?? []) keep.add(key)
  }
  for (const key of daemon.runs.all().flatMap(({ layers }) => layers)) keep.add(key)
  const removed = await removeLayers(daemon.config, keep)
  if (removed.length > 0) log('garbage', { layers: removed.length })
  for (const app of changed.filter((name) => daemon.store.findApp(name))) {
    await packObjects(paths(daemon.config).repo(app))
  }
}
