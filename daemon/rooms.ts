import { settled } from '../builder/layer-settling.ts'
import { Failure } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import type { App, Instance, Release, Say } from '../core/types.ts'
import type { Daemon } from './daemon.ts'
import type { Change, ProcessSet, Rooms } from './deploy.ts'
import type { Fleet, Member } from './fleet/fleet.ts'
import { maskedFailure } from './mask.ts'
import { processConfig, processType, stoppedTypes, wantedProcesses } from './fleet/processes.ts'
import { takeNewName } from './apps/rename.ts'
import { runPostDeploy, runReleasePhase } from './scripts.ts'
import { openStopFirst } from './fleet/stop-first.ts'

/** The rooms as the line sees them, for one change. */
export function wireRooms(daemon: Daemon, say: Say, signal: AbortSignal): Rooms {
  const { store, fleet, routes, triggers } = daemon
  const first = openStopFirst(daemon, say)
  let isNew = false // a restart is no deploy: it runs no scripts
  let renaming: { app: App; to: string } | undefined
  return {
    trigger: (name, app, release) =>
      triggers.fire(name, release ? { app: app.name, release } : { app: app.name }, say, signal),

    createRelease(change, draft) {
      isNew = draft.same === undefined
      const release = draft.same ?? store.createRelease(change.app, draft, change)
      if (change.rename === undefined) return release
      renaming = { app: change.app, to: change.rename }
      return { ...release, app: change.rename } // its processes know no other name
    },
    abandonRelease: (release) => store.abandonRelease(release),
    commitRelease(release) {
      store.commitRelease(release, renaming?.to)
      if (renaming) takeNewName(daemon, renaming.app, renaming.to)
      daemon.cron.follow(release)
    },

    releasePhase: async (_change, release) => {
      if (isNew) await runReleasePhase(daemon, release, say, signal)
    },
    async postDeploy(change, release) {
      if (!isNew) return
      const live = store.releases(change.app).filter(({ status }) => status === 'live')
      await runPostDeploy(daemon, release, live.length === 1, say)
    },

    headline: (change, release) => headline(daemon, change, release),
    stopFirst: (change, release) => first.stopOld(change, release, keptBy(fleet, change, release)),
    bringBack: (app) => first.bringBack(app),

    async start(change, release) {
      const { kept, missing } = compare(fleet, change, release)
      const fresh = await allOrNone(
        missing.map((process) => fleet.start(release, process, signal)),
        (started) => fleet.stop(started),
      )
      return { app: change.app, release, fresh, kept }
    },

    stop: (set) => fleet.stop(set.fresh),

    waitUntilReady: async (set) => {
      const works = set.fresh.map((instance) => fleet.ready(set.release, instance, say, signal))
      const keys = set.release.image.layers.map(({ key }) => key)
      await Promise.all([...works, settled(daemon.config, keys)]).catch((error: unknown) => {
        throw error instanceof Failure ? maskedFailure(processConfig(set.release), error) : error
      })
    },

    async publish(set) {
      if (hasWeb(set.fresh) || set.release.image.processes.web) say('-----> Switching the router')
      await routes.point(set.app, instancesOf(set))
    },
    publishCurrent: (app) => routes.pointAtCurrent(app),

    retireOthers(set) {
      fleet.adopt(set.fresh)
      first.letGo()
      retireAllBut(daemon, set)
    },
  }
}

/** Drains and stops, in the background, whatever of the app is not in the set. */
function retireAllBut({ fleet, routes }: Daemon, set: ProcessSet): void {
  const stay = new Set(instancesOf(set).map(({ id }) => id))
  const others = fleet
    .of(set.app.name)
    .filter(({ id, state }) => !stay.has(id) && (state === 'live' || state === 'unwatched'))
  for (const member of others) member.state = 'retiring'
  // A look of reconcile between switch and commit may have led the router back to these.
  routes
    .pointAtCurrent(set.app)
    .then(() => fleet.retire(others))
    .catch((error) => logError('retire-failed', error, { app: set.app.name }))
}

function instancesOf(set: ProcessSet): Instance[] {
  return [...set.kept, ...set.fresh]
}

/** Says that nothing runs afterwards where that may not be what was meant: a push, for one. */
function headline({ fleet, store }: Daemon, change: Change, release: Release): string {
  const { app, version } = release
  const { kept, missing } = compare(fleet, change, release)
  if (missing.length > 0) return `-----> Starting ${app} v${version}`
  const live = fleet.of(change.app.name).filter(({ state }) => state === 'live')
  const leaving = live.filter((one) => !kept.includes(one)).map(({ process }) => process)
  if (leaving.length > 0) return `-----> Stopping ${leaving.sort().join(', ')} of ${app}`
  if (kept.length > 0) return `-----> Nothing of ${app} has to start or stop`
  const [type = 'web'] = Object.keys(release.formation)
  const stopped = Object.keys(stoppedTypes(store.findApp(app) ?? change.app, release.formation))
  const toRun = stopped.length > 0 ? `ps:start ${app}` : `ps:scale ${app} ${type}=1`
  return ` !     Nothing of ${app} runs, for all is stopped or scaled to 0: ${toRun}`
}

/** Which of the wanted processes go on as they are, and which are to be started. */
function compare(fleet: Fleet, change: Change, release: Release) {
  const wanted = wantedProcesses(release)
  const kept = keptBy(fleet, change, release).filter(({ process }) => wanted.includes(process))
  const here = new Set(kept.map(({ process }) => process))
  return { kept, missing: wanted.filter((process) => !here.has(process)) }
}

/** What serves already and goes on to. */
function keptBy(fleet: Fleet, { app, replace, only }: Change, release: Release): Member[] {
  return fleet
    .of(app.name)
    .filter((member) => member.state === 'live' && member.release === release.version)
    .filter(
      ({ process }) => replace === 'missing' || (only && !only.includes(processType(process))),
    )
}

function hasWeb(instances: Instance[]): boolean {
  return instances.some(({ process }) => process.startsWith('web.'))
}

/** Waits for all; when one fails, undoes those that succeeded and throws its error. */
async function allOrNone<T>(works: Promise<T>[], undo: (done: T[]) => Promise<void>): Promise<T[]> {
  const results = await Promise.allSettled(works)
  const done = results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const failed = results.find((one) => one.status === 'rejected')
  if (!failed) return done
  await undo(done)
  throw failed.reason
}
