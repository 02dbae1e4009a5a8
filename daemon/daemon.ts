import { chmod, mkdir } from 'node:fs/promises'
import type { Sandbox } from '../builder/sandbox.ts'
import { sweepLayers } from '../builder/layers.ts'
import type { PaasConfig } from '../core/config.ts'
import { log, logError } from '../core/log.ts'
import { paths } from '../core/names.ts'
import type { App, Say } from '../core/types.ts'
import { ensureRepo, sweepRepo } from '../receiver/repo.ts'
import { isRunning, openRouter, type Router } from '../router/caddy.ts'
import { type Host, openHost, openNetwork } from '../runner/host.ts'
import { boundLogs } from '../runner/logs.ts'
import { sweepOrphans } from '../runner/observe.ts'
import type { Rooms } from './deploy.ts'
import { Fleet, type FleetEvents } from './fleet.ts'
import { openGarbage } from './garbage.ts'
import { type Journal, openJournal } from './journal.ts'
import { type Liveness, openLiveness } from './liveness.ts'
import { openQueue, type Queue } from './queue.ts'
import { Reconcile } from './reconcile.ts'
import { wireRooms } from './rooms.ts'
import { openRoutes, type Routes } from './routes.ts'
import { openSandbox } from './sandbox.ts'
import { emptyTrash } from './storage.ts'
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
  journal: Journal
  triggers: Triggers
  reconcile: Reconcile
  sandbox: Sandbox
  rooms: (say: Say, signal: AbortSignal) => Rooms
  collectGarbage: (app: App) => void
  /** Starts the router again when it was killed. Cheap enough for several times a second. */
  watchRouter: () => Promise<void>
  /** Finds dead containers that nobody reported. */
  watchFleet: () => Promise<void>
  /** One slow look at everything: the network, routes, processes. */
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
  const { home, database } = paths(config)
  await mkdir(home, { recursive: true })
  await chmod(home, 0o711) // containers and the router pass through; nobody looks around
  const store = openStore(database)
  store.failUnfinished()
  const host = await openHost(config)
  let router: Router = await openRouter(config)
  const queue = openQueue()
  const journal = openJournal(config)
  const fleet = new Fleet(
    host,
    config,
    fleetEvents(() => [daemon, liveness]),
    store.checks,
  )
  const routes = openRoutes(config, store, fleet, () => router)
  const triggers = openTriggers(config, store)

  const daemon: Daemon = {
    config,
    store,
    host,
    fleet,
    routes,
    queue,
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
    async watchRouter() {
      if (!isRunning(router)) router = await openRouter(config)
    },
    watchFleet: () => fleet.check(),
    async tick() {
      await openNetwork(config) // somebody may have flushed the firewall
      await reconcile.all()
      await emptyTrash(config)
    },
    async trimLogs() {
      for (const { name } of store.apps()) await boundLogs(host, name)
    },
    close() {
      reconcile.close()
      liveness.close()
      fleet.close()
      store.close()
    },
  }
  const reconcile = new Reconcile(daemon)
  const liveness: Liveness = openLiveness(daemon)
  const collectGarbage = openGarbage(daemon)
  await takeOver(daemon)
  return daemon
}

/** Who is told what of the fleet; the parts are there by the time it has something to tell. */
function fleetEvents(parts: () => [daemon: Daemon, liveness: Liveness]): FleetEvents {
  /** For scripts that nobody waits for: what they say goes to the app's log. */
  const quiet = (app: string) => (line: string) =>
    parts()[0].journal.write(app, { process: 'paas', release: 0 }, line)
  return {
    starting: ({ app }, process, signal) =>
      parts()[0].triggers.fire('pre-start', { app, args: [process] }, quiet(app), signal),
    live: (member) => parts()[1].watch(member),
    leaving: ({ id }) => parts()[1].forget(id),
    stopped: ({ app, process }) => {
      parts()[0]
        .triggers.fire('post-stop', { app, args: [process] }, quiet(app))
        .catch((error) => logError('trigger-failed', error, { app }))
    },
    unwatched: ({ app }) => void parts()[0].reconcile.app(app),
    died: (member, exit) => parts()[0].reconcile.died(member, exit),
  }
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
  await emptyTrash(config)
  log('took-over', { apps: store.apps().length, containers: alive.length })
}
