import { chmod, mkdir } from 'node:fs/promises'
import type { Sandbox } from '../builder/sandbox.ts'
import { sweepLayers } from '../builder/layers/layers.ts'
import type { PaasConfig } from '../core/config.ts'
import { isDiskFull } from '../core/errors.ts'
import { log, logError } from '../core/log.ts'
import { paths } from '../core/names.ts'
import { forEachAtOnce } from '../core/parallel.ts'
import type { Say } from '../core/types.ts'
import { ensureRepo, sweepHalfMade, sweepRepo } from '../receiver/repo.ts'
import { openRouter, type Router } from '../router/caddy.ts'
import { type Host, openHost } from '../runner/host.ts'
import { sweepEntered } from '../runner/enter.ts'
import { sweepLogs } from '../runner/log-ring.ts'
import { listInstances, listRemains, sweepOrphans } from '../runner/observe.ts'
import { Cron } from './runs/cron.ts'
import type { Rooms } from './deploy.ts'
import { type Disk, openDisk } from './disk/disk.ts'
import { Drains } from './logs/drains.ts'
import { type Farewell, openFarewell } from './doors/farewell.ts'
import { Fleet } from './fleet/fleet.ts'
import { fleetEvents } from './fleet/fleet-events.ts'
import { type Garbage, openGarbage } from './disk/garbage.ts'
import { type Journal, openJournal } from './logs/journal.ts'
import { refuseLocked } from './apps/locks.ts'
import { type Liveness, openLiveness } from './fleet/liveness.ts'
import { Metrics } from './metrics/metrics.ts'
import { openQueue, type Queue } from './queue.ts'
import { Reconcile } from './reconcile.ts'
import { forgetOldNames, settleNames } from './apps/rename-files.ts'
import { wireRooms } from './rooms.ts'
import { openRouterLog } from './logs/router-log.ts'
import { openRoutes, type Routes } from './routes.ts'
import { openRunningBuilds, type RunningBuilds } from './code/running-builds.ts'
import { openSandbox } from './sandbox.ts'
import { emptyTrash, limitStorages, trashLost } from './disk/storage.ts'
import { Runs } from './runs/runs.ts'
import { openSlots, type Slots } from './code/slots.ts'
import { openStore, type Store } from './store/store.ts'
import { openTriggers, type Triggers } from './triggers.ts'
import { openWatch } from './watch.ts'

/** Everything the commands and the line reach for. */
export type Daemon = {
  config: PaasConfig
  store: Store
  host: Host
  fleet: Fleet
  runs: Runs
  cron: Cron
  routes: Routes
  queue: Queue
  /** Names that apps are being given, and those they have until then. */
  renames: Map<string, string>
  builds: RunningBuilds
  /** Held while a build runs, whatever the app. */
  buildSlots: Slots
  journal: Journal
  triggers: Triggers
  metrics: Metrics
  drains: Drains
  farewell: Farewell
  reconcile: Reconcile
  sandbox: Sandbox
  rooms: (say: Say, signal: AbortSignal) => Rooms
  garbage: Garbage
  disk: Disk
  close: () => void
}

/**
 * Wires the rooms, in order, and takes over whatever a previous daemon left: what serves goes on
 * serving, what was half-made is removed. Processes that are missing start in `reconcile.all`.
 */
export async function openDaemon(config: PaasConfig): Promise<Daemon> {
  const { home, database, configKey } = paths(config)
  await mkdir(home, { recursive: true })
  await chmod(home, 0o711) // containers and the router pass through; nobody looks around
  const store = openStore(database, configKey)
  unlessFull(() => store.failUnfinished())
  const host = await openHost(config)
  let router: Router = await openRouter(config)
  const queue = openQueue((app) => {
    refuseLocked(store, app)
    return store.findApp(app)?.id
  })
  const renames = new Map<string, string>()
  const journal = openJournal(config)
  const triggers = openTriggers(config, store)
  const fleet = new Fleet(
    host,
    config,
    fleetEvents(() => [daemon, liveness]),
    (app) => store.checks(renames.get(app) ?? app),
  )
  const runs = new Runs({ config, host, fleet, store, journal })
  const routes = openRoutes(config, store, fleet, () => router)

  const daemon: Daemon = {
    config,
    store,
    host,
    fleet,
    runs,
    cron: new Cron({ store, runs, journal }),
    routes,
    queue,
    renames,
    builds: openRunningBuilds(),
    buildSlots: openSlots(config.buildsAtOnce),
    journal,
    triggers,
    metrics: new Metrics({ config, fleet }),
    drains: new Drains({ config, store }),
    sandbox: openSandbox({ config, host, fleet }),
    farewell: openFarewell(),
    get reconcile() {
      return reconcile
    },
    get garbage() {
      return garbage
    },
    disk: openDisk({ config, store }),
    rooms: (say, signal) => wireRooms(daemon, say, signal),
    close() {
      const { cron, drains } = daemon
      const parts = [watch, cron, drains, routerLog, reconcile, liveness, runs, fleet, store]
      for (const part of parts) part.close()
    },
  }
  const reconcile = new Reconcile(daemon)
  const liveness: Liveness = openLiveness(daemon)
  const garbage = openGarbage(daemon)
  await takeOver(daemon)
  const routerLog = openRouterLog(daemon, (name) => router.appOf.get(name))
  const watch = openWatch(daemon, {
    now: () => router,
    reopen: async () => {
      router = await openRouter(config)
    },
  })
  return daemon
}

/** Apps must come back on a full disk too. */
function unlessFull(work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!isDiskFull(error)) throw error
    logError('disk-full', error)
  }
}

const appsAtOnce = 8

/** Re-admits living containers, removes the remains of the dead and of work that was cut off. */
async function takeOver(daemon: Daemon): Promise<void> {
  const { config, store, host, fleet, runs, routes } = daemon
  await settleNames(daemon)
  const remains = await listRemains(host) // first: whatever starts from here on is no orphan
  const known = await listInstances(host)
  const alive = fleet.readmit(known)
  runs.readmit(known)
  routes.sweep()
  const keep = new Set([...alive, ...runs.all()].map(({ id }) => id))
  const removed = new Set(await sweepOrphans(host, keep, remains))
  const stuck = known.filter(({ id }) => !keep.has(id) && !removed.has(id))
  for (const { address } of stuck) fleet.reserve(address) // it may still answer there
  await sweepEntered(
    host,
    alive.map(({ id }) => id),
  )
  await sweepLayers(config, store.layerKeys())
  await sweepHalfMade(paths(config).repos)
  await forEachAtOnce(store.apps(), appsAtOnce, async ({ name }) => {
    await ensureRepo(paths(config).repo(name))
    await sweepLogs(host, name)
    await sweepRepo(paths(config).repo(name)).catch((error) =>
      logError('sweep-failed', error, { app: name }),
    )
  })
  for (const app of store.apps()) await daemon.drains.sync(app)
  void limitStorages(daemon, store.storageSizes()) // to count many files may take a while
  await forgetOldNames(daemon)
  await trashLost(config, store.storages()).catch((error) => logError('trash-failed', error))
  await emptyTrash(daemon)
  log('took-over', { apps: store.apps().length, containers: alive.length })
}
