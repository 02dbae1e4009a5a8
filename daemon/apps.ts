import { rm } from 'node:fs/promises'
import { defaultLimits } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import type { App, Say } from '../core/types.ts'
import { ensureRepo } from '../receiver/repo.ts'
import { forgetApp } from '../runner/host.ts'
import type { Daemon } from './daemon.ts'
import type { Ask } from './queue.ts'
import { defaultHost, refuseTakenHost } from './hosts.ts'

/** Makes an app that has no code yet; its name answers with a page that says so. */
export async function createApp(daemon: Daemon, name: string, say: Say): Promise<App> {
  refuseTakenHost(daemon.config, daemon.store, defaultHost(daemon.config, name), name)
  await ensureRepo(paths(daemon.config).repo(name))
  const app = daemon.store.createApp(name, defaultLimits)
  await daemon.routes.point(app, [])
  await daemon.triggers.fire('post-create', { app: name }, say)
  return app
}

/** Stops and removes everything of an app. Safe to repeat after a kill in the middle. */
export async function destroyApp(daemon: Daemon, app: App, ask: Ask): Promise<void> {
  const { say, signal } = ask
  using turn = await daemon.queue.turn(app.name, ask)
  void turn
  await daemon.triggers.fire('pre-destroy', { app: app.name }, say, signal)
  if (!daemon.store.findApp(app.name))
    throw new Failure('no-such-app', `${app.name} is gone already`)
  daemon.store.destroyApp(app)
  daemon.routes.remove(app.name)
  daemon.reconcile.forget(app.name)
  await daemon.runs.stopAll(app.name)
  daemon.metrics.forgetApp(app.name)
  daemon.drains.forget(app.name)
  await daemon.fleet.stop(daemon.fleet.of(app.name), daemon.config.graceTimeoutMs)
  await removeAppFiles(daemon, app.name)
  await daemon.triggers.fire('post-destroy', { app: app.name }, say)
  daemon.collectGarbage(app)
}

async function removeAppFiles(daemon: Daemon, app: string): Promise<void> {
  const { repo, logs, buildCache } = paths(daemon.config)
  await forgetApp(daemon.host, app)
  for (const path of [repo(app), logs(app), buildCache(app)]) {
    await rm(path, { recursive: true, force: true })
  }
}
