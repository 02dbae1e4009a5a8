import { logError } from '../core/log.ts'
import type { Instance, Say } from '../core/types.ts'
import type { Daemon } from './daemon.ts'
import type { Change, ProcessSet, Rooms } from './deploy.ts'
import type { Member } from './fleet.ts'
import { runReleasePhase } from './one-off.ts'
import { processType, wantedProcesses } from './processes.ts'

/** The rooms as the line sees them, for one change. */
export function wireRooms(daemon: Daemon, say: Say, signal: AbortSignal): Rooms {
  const { store, fleet, routes, triggers } = daemon
  return {
    trigger: (name, app, release) =>
      triggers.fire(name, release ? { app: app.name, release } : { app: app.name }, say, signal),

    createRelease: (change, draft) => draft.same ?? store.createRelease(change.app, draft, change),
    abandonRelease: (release) => store.abandonRelease(release),
    commitRelease: (release) => store.commitRelease(release),

    releasePhase: async (change, release) => {
      if (change.replace === 'all' && !change.only)
        await runReleasePhase(daemon, release, say, signal)
    },

    async start(change, release) {
      const wanted = wantedProcesses(release)
      const kept = serving(fleet.of(change.app.name), release).filter((one) => keeps(change, one))
      const keptNow = kept.filter(({ process }) => wanted.includes(process))
      const here = new Set(keptNow.map(({ process }) => process))
      const missing = wanted.filter((process) => !here.has(process))
      const fresh = await allOrNone(
        missing.map((process) => fleet.start(release, process, signal)),
        (started) => fleet.stop(started),
      )
      return { app: change.app, release, fresh, kept: keptNow }
    },

    stop: (set) => fleet.stop(set.fresh),

    waitUntilReady: async (set) => {
      await Promise.all(set.fresh.map((instance) => fleet.ready(instance, say, signal)))
    },

    async publish(set) {
      if (hasWeb(set.fresh) || set.release.image.processes.web) say('-----> Switching the router')
      await routes.point(set.app, instancesOf(set))
    },
    publishCurrent: (app) => routes.pointAtCurrent(app),

    retireOthers(set) {
      const stay = new Set(instancesOf(set).map(({ id }) => id))
      fleet.adopt(set.fresh)
      const others = fleet
        .of(set.app.name)
        .filter(({ id, state }) => !stay.has(id) && state === 'live')
      for (const member of others) member.state = 'retiring'
      // A look of reconcile between switch and commit may have led the router back to these.
      routes
        .pointAtCurrent(set.app)
        .then(() => fleet.retire(others))
        .catch((error) => logError('retire-failed', error, { app: set.app.name }))
    },
  }
}

function keeps({ replace, only }: Change, { process }: Instance): boolean {
  if (replace === 'missing') return true
  return only !== undefined && !only.includes(processType(process))
}

function instancesOf(set: ProcessSet): Instance[] {
  return [...set.kept, ...set.fresh]
}

function serving(members: Member[], release: { version: number }): Member[] {
  return members.filter((member) => member.state === 'live' && member.release === release.version)
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
