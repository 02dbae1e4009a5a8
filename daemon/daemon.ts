import { mkdir } from 'node:fs/promises'
import type { Sandbox } from '../builder/sandbox.ts'
import { sweepLayers } from '../builder/layers.ts'
import type { PaasConfig } from '../core/config.ts'
import { log, logError } from '../core/log.ts'
import { paths } from '../core/names.ts'
import type { App, Say } from '../core/types.ts'
import { ensureRepo, sweepRepo } from '../receiver/repo.ts'
import { isRunning, openRouter, type Router } from '../router/caddy.ts'
import { type Host, openHost } from '../runner/host.ts'
import { boundLogs } from '../runner/logs.ts'
import { sweepOrphans } from '../runner/observe.ts'
import type { Rooms } from './deploy.ts'
import { Fleet } from './fleet.ts'
import { openGarbage } from './garbage.ts'
import { type Journal, openJournal } from './journal.ts'
import { refuseLocked } from './locks.ts'
import { openQueue, type Queue } from './queue.ts'
import { Reconcile } from './reconcile.ts'
import { wireRooms } from './rooms.ts'
import { openRoutes, type Routes } from './routes.ts'
import { openRunningBuilds, type RunningBuilds } from './running-builds.ts'
import { openSandbox } from './sandbox.ts'
import { openSlots, type Slots } from './slots.ts'
import { openStore, type Store } from './store/store.ts'
import { openTriggers, type Triggers } from './triggers.ts'

/** Everything the commands and the line reach for. */
export type Daemon = {
  config: PaasConfig
  store: Store
  host: Host
  fleet: Fleet
  routes: Routes
  queue: Queue
  builds: RunningBuilds
  /** Held while a build runs, whatever the app. */
  buildSlots: Slots
  journal: Journal
  triggers: Triggers
  reconcile: Reconcile
  sandbox: Sandbox
  rooms: (say: Say, signal: AbortSignal) => Rooms
  collectGarbage: (app: App) => void
  /** One slow look at everything: the router, routes, processes. */
  tick: () => Promise<void>
  /** Keeps the apps' logs within their limit; a flood needs this every few seconds. */
  trimLogs: () => Promise<void>
  close: () => void
}

/**
 * Wires the rooms, in order, and takes over whatever a previous daemon left: what serves goes on
 * serving, what was half-made is removed. Processes that are missing start in `reconcile.all`.
 */
export async function openDaemon(config: PaasConfig): Promise<Daemon> {
  const { home, database, configKey } = paths(config)
  await mkdir(home, { recursive: true, mode: 0o711 })
  const store = openStore(database, configKey)
  store.failUnfinished()
  const host = await openHost(config)
  let router: Router = await openRouter(config)
  const queue = openQueue((app) => refuseLocked(store, app))
  const journal = openJournal(config)
  /** For scripts that nobody waits for: what they say goes to the app's log. */
  const quiet = (app: string) => (line: string) =>
    journal.write(app, { process: 'paas', release: 0 }, line)
  const fleet = new Fleet(host, config, {
    starting: ({ app }, process, signal) =>
      triggers.fire('pre-start', { app, args: [process] }, quiet(app), signal),
    stopped: ({ app, process }) => {
      triggers
        .fire('post-stop', { app, args: [process] }, quiet(app))
        .catch((error) => logError('trigger-failed', error, { app }))
    },
    died: (member, exit) => daemon.reconcile.died(member, exit),
  })
  const routes = openRoutes(config, store, fleet, () => router)
  const triggers = openTriggers(config, store)

  const daemon: Daemon = {
    config,
    store,
    host,
    fleet,
    routes,
    queue,
    builds: openRunningBuilds(),
    buildSlots: openSlots(config.buildsAtOnce),
    journal,
    triggers,
    sandbox: openSandbox({ config, host, fleet }),
    get reconcile() {
      return reconcile
    },
    get collectGarbage() {
      return collectGarbage
    },
    rooms: (say, signal) => wireRooms(daemon, say, signal),
    async tick() {
      if (!isRunning(router)) router = await openRouter(config)
      await reconcile.all()
    },
    async trimLogs() {
      for (const { name } of store.apps()) await boundLogs(host, name)
    },
    close() {
      reconcile.close()
      fleet.close()
      store.close()
    },
  }
  const reconcile = new Reconcile(daemon)
  const collectGarbage = openGarbage(daemon)
  await takeOver(daemon)
  return daemon
}

/** Re-admits living containers, removes the remains of the dead and of work that was cut off. */
async function takeOver(daemon: Daemon): Promise<void> {
  const { config, store, host, fleet, routes } = daemon
  const alive = await fleet.readmit()
  await sweepOrphans(host, new Set(alive.map(({ id }) => id)))
  await sweepLayers(config)
  for (const { name } of store.apps()) {
    await ensureRepo(paths(config).repo(name))
    await sweepRepo(paths(config).repo(name)).catch((error) =>
      logError('sweep-failed', error, { app: name }),
    )
  }
  routes.sweep()
  log('took-over', { apps: store.apps().length, containers: alive.length })
}
