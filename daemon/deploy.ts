import { stopIfCancelled } from '../core/errors.ts'
import type { App, Instance, Release, Say } from '../core/types.ts'
import type { TriggerName } from '../plugins/names.ts'
import type { Draft } from './store/nouns.ts'

/**
 * The line. A push, `config:set`, `ps:scale`, `ps:restart`, `resource:limit` and
 * `releases:rollback` are all this function with another `prepare`. Everything done before the
 * point of no return is undone when a later step fails, in reverse order; the old set serves on.
 */
export async function deploy(
  change: Change,
  rooms: Rooms,
  say: Say,
  signal: AbortSignal,
): Promise<Release> {
  await using undo = new AsyncDisposableStack()

  const draft = await change.prepare(say, signal)
  await rooms.trigger('pre-release', change.app)
  const release = rooms.createRelease(change, draft)
  undo.defer(async () => rooms.abandonRelease(release))
  await rooms.trigger('post-release', change.app, release)
  await rooms.releasePhase(change, release, say, signal)

  say(rooms.headline(change, release))
  await rooms.trigger('pre-deploy', change.app, release)
  undo.defer(() => rooms.bringBack(change.app))
  await rooms.stopFirst(change, release)
  const set = await rooms.start(change, release, signal)
  undo.defer(() => rooms.stop(set))
  await rooms.waitUntilReady(set, say, signal)
  await rooms.trigger('check-deploy', change.app, release)

  await rooms.trigger('pre-switch', change.app, release)
  await rooms.refuseEnded(set)
  stopIfCancelled(signal)
  undo.defer(() => rooms.publishCurrent(change.app))
  await rooms.publish(set)
  rooms.commitRelease(release)
  undo.move() // point of no return: requests reach the new set, nothing below may undo them

  try {
    await rooms.retireOthers(set)
    await rooms.postDeploy(change, release)
  } catch (error) {
    rooms.warnOf(error, release)
  }
  return release
}

/** A wish to change what an app runs. */
export type Change = {
  app: App
  /** Why, as `releases` shows it: `Deploy 1a2b3c4`, `Set KEY`, `Roll back to v3`. */
  cause: string
  by: string
  /** `all` starts every process afresh; `missing` keeps those that already run this release. */
  replace: 'all' | 'missing'
  /** With `all` of the same release: only these process types, the others are kept. */
  only?: string[]
  /** What the app is called from this release on. */
  rename?: string
  /**
   * Makes what the release will be: builds a push, or takes the current release with another
   * config. A draft with `same` makes no new release, only another set of processes for that one.
   */
  prepare: (say: Say, signal: AbortSignal) => Promise<Draft & { same?: Release }>
}

/** The new processes of one release; those that run already, and are not replaced, go on. */
export type ProcessSet = { app: App; release: Release; fresh: Instance[] }

/** What the line needs of the rooms. `daemon/rooms.ts` wires it. */
export type Rooms = {
  trigger: (name: TriggerName, app: App, release?: Release) => Promise<void>
  createRelease: (change: Change, draft: Draft & { same?: Release }) => Release
  /** Marks a release that never served as failed. */
  abandonRelease: (release: Release) => void
  /** Runs the predeploy script and the `release:` process type, if any, in the new image. */
  releasePhase: (change: Change, release: Release, say: Say, signal: AbortSignal) => Promise<void>
  /** What is about to happen to processes, as a line to whoever waits. */
  headline: (change: Change, release: Release) => string
  /** Stops the old processes of the types that may not run beside the new ones. */
  stopFirst: (change: Change, release: Release) => Promise<void>
  /** Starts again what `stopFirst` stopped. */
  bringBack: (app: App) => Promise<void>
  start: (change: Change, release: Release, signal: AbortSignal) => Promise<ProcessSet>
  stop: (set: ProcessSet) => Promise<void>
  /** Until every new process can serve, and all that the release stands on is safe on the disk. */
  waitUntilReady: (set: ProcessSet, say: Say, signal: AbortSignal) => Promise<void>
  /** Throws a Failure for one that was ready and has ended while others were not ready yet. */
  refuseEnded: (set: ProcessSet) => Promise<void>
  /** Points the router at the set and what goes on beside it, and has it confirm that. */
  publish: (set: ProcessSet) => Promise<void>
  /** Points the router at what the committed release runs. */
  publishCurrent: (app: App) => Promise<void>
  /** Makes the release the app's own, by one row. */
  commitRelease: (release: Release) => void
  /** Begins to drain and stop whatever the committed release does not want. */
  retireOthers: (set: ProcessSet) => Promise<void>
  /** Runs the postdeploy scripts and tells the plugins, also when the client has gone. */
  postDeploy: (change: Change, release: Release) => Promise<void>
  /** Warns of what went wrong when the release served already. */
  warnOf: (error: unknown, release: Release) => void
}
