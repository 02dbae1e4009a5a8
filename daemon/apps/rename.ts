import { Failure } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import type { App } from '../../core/types.ts'
import { applyInTurn, next } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { defaultHost, refuseTakenHost } from './hosts.ts'
import { type Ask, goneMeanwhile } from '../queue.ts'
import { forgetOldNames, leaveOldFiles, moveFiles } from './rename-files.ts'
import { moveFilesBack, refuseNameInUse } from './rename-files.ts'

/**
 * Gives an app another name by a release of its own: its processes start under the new name beside
 * the old, and one row makes release and name the app's own. Whatever fails before that, or is
 * killed, leaves all as it was; its domains lead to it all the time. The old host name is gone.
 */
export async function renameApp(
  daemon: Daemon,
  { name: from }: App,
  { name: to, by }: { name: string; by: string },
  ask: Ask,
): Promise<App> {
  using turns = new DisposableStack()
  for (const name of [from, to].sort()) turns.use(await daemon.queue.turn(name, ask))
  const app = daemon.store.findApp(from)
  if (!app) throw goneMeanwhile(from)
  refuseTakenHost(daemon.config, daemon.store, defaultHost(daemon.config, to), to)
  for (const name of [from, to]) await refuseNameInUse(daemon, name)
  if (daemon.store.findApp(to)) throw new Failure('failed', `App "${to}" exists already`)
  daemon.renames.set(to, from)
  turns.defer(() => void daemon.renames.delete(to))
  try {
    await moveFiles(daemon, from, to)
    await switchName(daemon, app, { to, by }, ask)
  } catch (error) {
    if (!daemon.store.findApp(to)) moveFilesBack(daemon, from, to)
    throw error
  }
  oldGone(daemon, to).catch((error: unknown) => logError('rename-unfinished', error, { from, to }))
  const event = { kind: 'renamed', by, release: null, text: `Renamed ${from} to ${to}` }
  for (const whose of [app, null]) daemon.store.addEvent(whose, event)
  return daemon.store.findApp(to) ?? app
}

/** Forgets the old name as soon as nothing that began under it is left. */
async function oldGone(daemon: Daemon, to: string): Promise<void> {
  const old = daemon.fleet.of(to).filter(({ state }) => state === 'retiring')
  const runs = daemon.runs.of(to).map(({ ended }) => ended)
  await Promise.all([daemon.fleet.gone(old), ...runs])
  await forgetOldNames(daemon)
}

async function switchName(
  daemon: Daemon,
  app: App,
  { to, by }: { to: string; by: string },
  ask: Ask,
): Promise<void> {
  if (daemon.store.currentRelease(app.name)) {
    const prepare = async () => next(daemon, app)
    const cause = `Rename ${app.name} to ${to}`
    await applyInTurn(daemon, { app, cause, by, replace: 'all', rename: to, prepare }, ask)
    return
  }
  daemon.store.renameApp(app, to)
  takeNewName(daemon, app, to)
  await daemon.routes.pointAtCurrent(app)
}

/** Right after the row: whoever holds this app, or anything of it, knows it by the new name. */
export function takeNewName(daemon: Daemon, app: App, to: string): void {
  const { name: from } = app
  app.name = to
  daemon.renames.delete(to)
  daemon.fleet.rename(from, to)
  daemon.runs.rename(from, to)
  daemon.metrics.renameApp(from, to)
  daemon.drains.rename(from, to)
  daemon.reconcile.forget(from)
  try {
    daemon.routes.rename(from, to)
    leaveOldFiles(daemon, from)
  } catch (error) {
    logError('rename-unfinished', error, { from, to }) // the next start finishes it
  }
}
