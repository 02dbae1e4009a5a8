import { logError } from '../../core/log.ts'
import type { Daemon } from '../daemon.ts'
import { recordDeath } from './deaths.ts'
import type { FleetEvents } from './fleet.ts'
import type { Liveness } from './liveness.ts'

/**
 * What starts, stops and ends in the fleet, told to plugins, to the checks and to whoever repairs
 * it. The parts are asked for when something happens: by then all of them are wired.
 */
export function fleetEvents(parts: () => [daemon: Daemon, liveness: Liveness]): FleetEvents {
  const daemon = () => parts()[0]
  const liveness = () => parts()[1]
  /** For scripts that nobody waits for: what they say goes to the app's log. */
  const quiet = (app: string) => (line: string) =>
    daemon().journal.write(app, { process: 'paas', release: 0 }, line)
  return {
    starting: ({ app }, process, signal) =>
      daemon().triggers.fire('pre-start', { app, args: [process] }, quiet(app), signal),
    live: (member) => liveness().watch(member),
    leaving: ({ id }) => liveness().forget(id),
    draining: async (name) => {
      const app = daemon().store.findApp(name)
      if (app) await daemon().routes.pointAtCurrent(app)
    },
    stopped: ({ app, process }) => {
      void daemon().reconcile.app(app)
      daemon()
        .triggers.fire('post-stop', { app, args: [process] }, quiet(app))
        .catch((error) => logError('trigger-failed', error, { app }))
    },
    unready: (member, seen) => recordDeath(daemon(), member, seen),
    unwatched: ({ app }) => void daemon().reconcile.app(app),
    died: (member, exit) => daemon().reconcile.died(member, exit),
  }
}
