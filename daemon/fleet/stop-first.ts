import type { App, Release, Say } from '../../core/types.ts'
import { modeOf, stopsFirst } from './checks.ts'
import type { Daemon } from '../daemon.ts'
import type { Change } from '../deploy.ts'
import type { Member } from './fleet.ts'
import { processType, wantedProcesses } from './processes.ts'

/**
 * For one change: the types whose old processes stop before the new ones start, because app.json
 * says `exclusive` or `checks:disable` was called. Until the change is done or undone nobody else
 * starts a process of theirs.
 */
export function openStopFirst(daemon: Daemon, say: Say) {
  const { store, fleet, reconcile } = daemon
  let held: Disposable | undefined
  let stopped: string[] = []

  async function stopOld({ app }: Change, release: Release, kept: Member[]): Promise<void> {
    const types = typesOf(app, release)
    if (types.size === 0) return
    held = await reconcile.hold(app.name, types)
    const leaving = fleet
      .of(app.name)
      .filter(({ process }) => types.has(processType(process)))
      .filter(({ id }) => !kept.some((one) => one.id === id))
    const serving = leaving.filter(({ state }) => state !== 'retiring')
    stopped = serving.map(({ process }) => process)
    if (stopped.length > 0) say(`       Stopping the old ${stopped.join(', ')} first`)
    await fleet.retire(serving)
    await fleet.gone(leaving)
  }

  /** Of those that the new release wants, whatever the old one said of them too. */
  function typesOf(app: App, release: Release): Set<string> {
    const settings = store.checks(app.name)
    const images = [release.image, store.currentRelease(app.name)?.image ?? release.image]
    const wanted = new Set(wantedProcesses(release).map(processType))
    const first = (type: string) =>
      images.some((image) => stopsFirst(image, type, modeOf(settings, type)))
    return new Set([...wanted].filter(first))
  }

  return {
    stopOld,
    /** The change is done: whoever dies from now on is started again as ever. */
    letGo: () => held?.[Symbol.dispose](),
    /** The change failed: what was stopped for it runs again, and is ready when this resolves. */
    async bringBack(app: App): Promise<void> {
      held?.[Symbol.dispose]()
      if (stopped.length === 0) return
      say(` !     Starting the old ${stopped.join(', ')} again`)
      await reconcile.settle(app.name)
    },
  }
}
