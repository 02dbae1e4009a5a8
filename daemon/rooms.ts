import { settled } from '../builder/layers/settling.ts'
import { Failure, failureLines } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import type { App, Instance, Release, Say } from '../core/types.ts'
import type { Daemon } from './daemon.ts'
import type { Change, ProcessSet, Rooms } from './deploy.ts'
import type { Fleet, Member } from './fleet/fleet.ts'
import { maskedFailure } from './mask.ts'
import { differences } from './fleet/differences.ts'
import { processConfig, processType, stoppedTypes } from './fleet/processes.ts'
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
    async postDeploy({ app }, release) {
      if (isNew) await runPostDeploy(daemon, app, release, say)
      // The client may go: what it asked for is done, and this is part of it.
      await triggers.fire('post-deploy', { app: app.name, release }, say)
    },
    warnOf: (error, release) => warnOf(error, release, say),

    headline: (change, release) => headline(daemon, change, release),
    stopFirst: (change, release) => first.stopOld(change, release, spared(fleet, change, release)),
    bringBack: (app) => first.bringBack(app),

    async start(change, release) {
      const { missing } = differences(spared(fleet, change, release), release)
      const fresh = await allOrNone(
        missing.map((process) => fleet.start(release, process, signal)),
        (started) => fleet.stop(started),
      )
      return { app: change.app, release, fresh }
    },

    stop: (set) => fleet.stop(set.fresh),

    waitUntilReady: async (set) => {
      const ready = masked(set, (one) => fleet.ready(set.release, one, say, signal))
      await Promise.all([ready, onDisk(daemon, set)])
    },
    refuseEnded: (set) => masked(set, (one) => fleet.refuseEnded(one)),

    async publish(set) {
      if (hasWeb(set.fresh) || set.release.image.processes.web) say('-----> Switching the router')
      await routes.point(set.app, [...goingOn(fleet, set), ...set.fresh])
    },
    publishCurrent: (app) => routes.pointAtCurrent(app),

    async retireOthers(set) {
      fleet.adopt(set.fresh)
      first.letGo()
      await daemon.reconcile.app(set.app.name)
    },
  }
}

/** Asks of each; a Failure quotes what the app said, and must not show its config by that. */
async function masked(
  { release, fresh }: ProcessSet,
  ask: (instance: Instance) => Promise<void>,
): Promise<void> {
  await Promise.all(fresh.map(ask)).catch((error: unknown) => {
    throw error instanceof Failure ? maskedFailure(processConfig(release), error) : error
  })
}

/** Waits until the layers of the release would be there after a power cut. */
function onDisk({ config }: Daemon, { release }: ProcessSet): Promise<void> {
  return settled(
    config,
    release.image.layers.map(({ key }) => key),
  )
}

/** What serves beside the new: asked late, for some may have died meanwhile, and come back. */
function goingOn(fleet: Fleet, { app, release, fresh }: ProcessSet): Member[] {
  const replaced = new Set(fresh.map(({ process }) => process))
  const { kept } = differences(fleet.of(app.name), release)
  return kept.filter(({ process }) => !replaced.has(process))
}

function warnOf(error: unknown, { app, version }: Release, say: Say): void {
  logError('post-deploy-failed', error, { app })
  for (const line of failureLines(error)) say(line)
  say(` !     ${app} v${version} serves all the same`)
}

/** Says that nothing runs afterwards where that may not be what was meant: a push, for one. */
function headline({ fleet, store }: Daemon, change: Change, release: Release): string {
  const { app, version } = release
  const { kept, missing } = differences(spared(fleet, change, release), release)
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

/** What serves this release already, and is not to be started afresh. */
function spared(fleet: Fleet, { app, replace, only }: Change, release: Release): Member[] {
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
