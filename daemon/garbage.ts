import { removeLayers } from '../builder/layers.ts'
import { log, logError } from '../core/log.ts'
import type { Daemon } from './daemon.ts'

/**
 * Removes layers that no release and no container needs, when nothing is being changed: a build in
 * flight may have made a layer that no release names yet. Its failure fails nothing.
 */
export function openGarbage(daemon: Daemon): () => void {
  let planned = false
  return function collectSoon(): void {
    if (planned) return
    planned = true
    setTimeout(() => {
      planned = false
      if (daemon.queue.busy()) return // whoever is last collects
      collect(daemon).catch((error) => logError('garbage-failed', error))
    }, 1000).unref()
  }
}

async function collect(daemon: Daemon): Promise<void> {
  const keep = daemon.store.layerKeys()
  for (const { app, release } of daemon.fleet.all()) {
    const found = daemon.store.findApp(app)
    if (!found) continue
    const row = daemon.store.releases(found).find(({ version }) => version === release)
    for (const { key } of row?.image.layers ?? []) keep.add(key)
  }
  const removed = await removeLayers(daemon.config, keep)
  if (removed.length > 0) log('garbage', { layers: removed.length })
}
