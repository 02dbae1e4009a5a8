import { rm } from 'node:fs/promises'
import { defaultLimits } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import type { App, Say } from '../../core/types.ts'
import { ensureRepo } from '../../receiver/repo.ts'
import { forgetApp } from '../../runner/host.ts'
import { applyChange, current, takeTurn } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import type { Change } from '../deploy.ts'
import type { Ask } from '../queue.ts'
import { defaultHost, refuseTakenHost } from './hosts.ts'
import { refuseNameInUse } from './rename-files.ts'

/** Makes an app that has no code yet; its name answers with a page that says so. */
export async function createApp(daemon: Daemon, name: string, say: Say): Promise<App> {
  refuseTakenHost(daemon.config, daemon.store, defaultHost(daemon.config, name), name)
  await ensureRepo(paths(daemon.config).repo(name))
  await refuseNameInUse(daemon, name)
  const app = daemon.store.createApp(name, defaultLimits)
  await daemon.routes.point(app, [])
  await daemon.triggers.fire('post-create', { app: name }, say)
  return app
}

/** Tells `events`, of the app and of the host, how it came to be. */
export function recordCreated({ store }: Daemon, app: App, by: string, how: string): void {
  const event = { kind: 'created', by, release: null, text: `${how} ${app.name}` }
  store.addEvent(app, event)
  store.addEvent(null, event)
}

/**
 * A new app with the settings, storages, cron jobs and running image of another as its v1, but none
 * of its domains and drains. Its code comes with its first push. When it does not start, nothing of
 * it is left.
 */
export async function cloneApp(
  daemon: Daemon,
  from: App,
  { name, by }: { name: string; by: string },
  ask: Ask,
): Promise<App> {
  const { store } = daemon
  await using undo = new AsyncDisposableStack()
  const app = await createApp(daemon, name, ask.say)
  const own = { say: ask.say, signal: new AbortController().signal } // undone even if cancelled
  undo.defer(() => destroyApp(daemon, app, own))
  store.copySettings(from, app)
  if (store.currentRelease(from.name))
    await applyChange(daemon, cloneChange(daemon, app, from, by), ask)
  undo.move()
  daemon.cron.look()
  recordCreated(daemon, app, by, `Cloned ${from.name} to`)
  return app
}

function cloneChange(daemon: Daemon, app: App, from: App, by: string): Change {
  const cause = `Clone ${from.name}`
  const { store } = daemon
  const prepare = async () => {
    return { ...current(daemon, from), config: store.config(app), globals: store.globalConfig() }
  }
  return { app, cause, by, replace: 'all', prepare }
}

/** Stops and removes everything of an app. Safe to repeat after a kill in the middle. */
export async function destroyApp(daemon: Daemon, app: App, ask: Ask): Promise<void> {
  const { say, signal } = ask
  using turn = await takeTurn(daemon, app, ask)
  void turn
  await daemon.triggers.fire('pre-destroy', { app: app.name }, say, signal)
  daemon.store.destroyApp(app)
  daemon.routes.remove(app.name)
  daemon.reconcile.forget(app.name)
  await daemon.runs.stopAll(app.name)
  daemon.metrics.forgetApp(app.name)
  daemon.drains.forget(app)
  await daemon.fleet.stop(daemon.fleet.of(app.name), daemon.config.graceTimeoutMs)
  await removeAppFiles(daemon, app.name)
  await daemon.triggers.fire('post-destroy', { app: app.name }, say)
  daemon.garbage.collectSoon(app)
}

async function removeAppFiles(daemon: Daemon, app: string): Promise<void> {
  const { repo, logs, buildCache, dockerCache } = paths(daemon.config)
  await forgetApp(daemon.host, app)
  for (const path of [repo(app), logs(app), buildCache(app), dockerCache(app)]) {
    await rm(path, { recursive: true, force: true })
  }
}
