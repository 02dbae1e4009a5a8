import { isDeepStrictEqual } from 'node:util'
import { diskFull, Failure, firstError, isDiskFull, stopIfCancelled } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import type {
  App,
  AppLimits,
  Config,
  Formation,
  Image,
  Mount,
  Release,
  Say,
} from '../core/types.ts'
import { deploy, type Change } from './deploy.ts'
import { withAppJson } from './apps/first-deploy.ts'
import { processConfig, stoppedTypes } from './fleet/processes.ts'
import type { Daemon } from './daemon.ts'
import type { Ask } from './queue.ts'
import type { Draft } from './store/nouns.ts'

/**
 * Every way to change what an app runs, as a first step for the line. What is read of the app is
 * read in `prepare`, when the app's turn has come, so that two changes never overwrite each other.
 */

/** Takes the app's turn and walks the line. */
export async function applyChange(daemon: Daemon, change: Change, ask: Ask): Promise<Release> {
  using turn = await takeTurn(daemon, change.app, ask)
  void turn
  return await applyInTurn(daemon, change, ask) // the turn would end with a mere `return`
}

/** Walks the line for whoever has the app's turn, and tells the plugins when it fails. */
export async function applyInTurn(
  daemon: Daemon,
  change: Change,
  { say, signal }: Pick<Ask, 'say' | 'signal'>,
): Promise<Release> {
  try {
    const release = await deploy(change, daemon.rooms(say, signal), say, signal)
    daemon.reconcile.forget(change.app.name)
    recordChange(daemon, change, 'changed', release.version)
    return release
  } catch (thrown) {
    const first = firstError(thrown)
    const error = isDiskFull(first) ? diskFull(first) : first
    if (first !== thrown) logError('undo-failed', thrown, { app: change.app.name })
    const why = error instanceof Failure ? error.message : 'Internal error'
    recordChange(daemon, change, 'change-failed', null, why)
    void daemon.reconcile.app(change.app.name) // what could not be undone
    await daemon.triggers.fire('deploy-failed', { app: change.app.name, error: why }, say)
    throw error
  } finally {
    daemon.garbage.collectSoon(change.app)
  }
}

/**
 * Tells `events` how a change ended; the app itself may be gone by then. A disk too full to tell it
 * changes nothing about the end.
 */
function recordChange(
  daemon: Daemon,
  { app: { name }, cause, by }: Change,
  kind: 'changed' | 'change-failed',
  release: number | null,
  why?: string,
): void {
  const text = why ? `${cause}: ${why}` : cause
  try {
    const app = daemon.store.findApp(name)
    if (!app) return
    const version = why ? daemon.store.explainFailure(app, why) : release
    daemon.store.addEvent(app, { kind, by, release: version, text })
  } catch (error) {
    logError('event-unrecorded', error, { app: name, text })
  }
}

/** As `applyChange`; an app that has no release when its turn has come is told by `set` alone. */
export async function applyOrSet(
  daemon: Daemon,
  change: Change,
  ask: Ask,
  set: () => void,
): Promise<void> {
  using turn = await takeTurn(daemon, change.app, ask)
  void turn
  if (daemon.store.currentRelease(change.app.name)) await applyInTurn(daemon, change, ask)
  else set()
}

/** Changes settings that no running process needs to know, in the app's turn like any change. */
export async function applySetting(
  daemon: Turns,
  app: App,
  ask: Ask,
  work: () => void,
): Promise<void> {
  using turn = await takeTurn(daemon, app, ask)
  void turn
  work()
}

type Turns = Pick<Daemon, 'queue' | 'store'>

/** The app's turn, for as long as it is there: another of its name may have come meanwhile. */
export async function takeTurn({ queue, store }: Turns, app: App, ask: Ask): Promise<Disposable> {
  const turn = await queue.turn(app.name, ask)
  // The id of an app that was destroyed may be given again.
  if (store.findApp(app.name)?.createdAt === app.createdAt) return turn
  turn[Symbol.dispose]()
  throw goneMeanwhile(app)
}

/** New values for some keys; `undefined` removes one. */
export type ConfigPatch = Record<string, string | undefined>

export function configChange(daemon: Daemon, app: App, patch: ConfigPatch, by: string): Change {
  const keys = listed(Object.keys(patch))
  const verb = Object.values(patch).every((value) => value === undefined) ? 'Unset' : 'Set'
  return {
    app,
    cause: `${verb} ${keys}`,
    by,
    replace: 'all',
    prepare: async () => ({
      ...next(daemon, app),
      config: patchConfig(daemon.store.config(app), patch),
    }),
  }
}

const namesShown = 5

/** `A, B, C, D, E and 2 more`: a line in which no name is cut off. */
export function listed(names: string[]): string {
  const more = names.length - namesShown
  return names.slice(0, namesShown).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

export function patchConfig(config: Config, patch: ConfigPatch): Config {
  const entries = Object.entries({ ...config, ...patch })
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

/** The same release with more or fewer processes: what runs already keeps running. */
export function scaleChange(
  daemon: Daemon,
  app: App,
  decide: (release: Release) => Formation,
  by: string,
): Change {
  return {
    app,
    cause: 'Scale',
    by,
    replace: 'missing',
    prepare: async () => {
      const release = current(daemon, app)
      const wish = decide(release)
      refuseUnknownTypes(wish, release)
      const formation = { ...release.formation, ...wish }
      return { ...release, formation, same: { ...release, formation } }
    },
  }
}

/** All processes, or those of some types only: these then keep the release's config. */
export function restartChange(daemon: Daemon, app: App, types: string[], by: string): Change {
  return {
    app,
    cause: 'Restart',
    by,
    replace: 'all',
    ...(types.length > 0 ? { only: types } : {}),
    prepare: async () => {
      const [now, then] = [current(daemon, app), next(daemon, app)]
      refuseUnknownTypes(Object.fromEntries(types.map((type) => [type, 1])), now)
      if (types.length > 0) return { ...now, same: now }
      // Config that waits for a release, set globally or with --no-restart, has it with this one.
      const changed = !isDeepStrictEqual(processConfig(now), processConfig(then))
      return changed ? then : { ...now, same: now }
    },
  }
}

export function limitsChange(daemon: Daemon, app: App, limits: AppLimits, by: string): Change {
  return {
    app,
    cause: 'Change limits',
    by,
    replace: 'all',
    prepare: async () => ({ ...next(daemon, app), limits }),
  }
}

export function mountsChange(
  daemon: Daemon,
  app: App,
  edit: (mounts: Mount[]) => Mount[],
  by: string,
): Change {
  return {
    app,
    cause: 'Change mounts',
    by,
    replace: 'all',
    prepare: async () => ({ ...next(daemon, app), mounts: edit(daemon.store.mounts(app)) }),
  }
}

/**
 * Code, config, formation, limits and mounts of an earlier release, as a new release; builds
 * nothing. What is stopped stays so.
 */
export function rollbackChange(daemon: Daemon, app: App, to: Release, by: string): Change {
  return {
    app,
    cause: `Roll back to v${to.version}`,
    by,
    replace: 'all',
    prepare: async () => {
      const release = daemon.store.release(to.id)
      const stopped = Object.keys(
        stoppedTypes(daemon.store.findApp(app.name) ?? app, current(daemon, app).formation),
      )
      const none = stopped.filter((type) => type in release.formation).map((type) => [type, 0])
      return { ...release, formation: { ...release.formation, ...Object.fromEntries(none) } }
    },
  }
}

/** A push: what the builder makes of the commit, with the app's own config and formation. */
export function pushChange(
  daemon: Daemon,
  app: App,
  push: {
    commit: string
    by: string
    build: (say: Say, signal: AbortSignal) => Promise<Release['image']>
  },
): Change {
  return {
    app,
    cause: `Deploy ${push.commit.slice(0, 7)}`,
    by: push.by,
    replace: 'all',
    prepare: async (say, signal) => {
      const image = await push.build(say, signal)
      stopIfCancelled(signal)
      return codeDraft(daemon, app, { image, commit: push.commit }, say)
    },
  }
}

/** An image from elsewhere in the place of a commit; what it was shows when it is known. */
export function imageChange(
  daemon: Daemon,
  app: App,
  given: {
    by: string
    build: (say: Say, signal: AbortSignal) => Promise<{ image: Image; cause: string }>
  },
): Change {
  const change: Change = {
    app,
    cause: 'Deploy an image',
    by: given.by,
    replace: 'all',
    prepare: async (say, signal) => {
      const { image, cause } = await given.build(say, signal)
      stopIfCancelled(signal)
      change.cause = cause
      return codeDraft(daemon, app, { image, commit: null }, say)
    },
  }
  return change
}

/** A release of new code with the app's own config, formation, limits and mounts. */
function codeDraft(
  daemon: Daemon,
  app: App,
  { image, commit }: Pick<Release, 'image' | 'commit'>,
  say: Say,
): Draft {
  const before = daemon.store.currentRelease(app.name)
  for (const type of Object.keys(before?.image.processes ?? {})) {
    if (type in image.processes || !before?.formation[type]) continue
    say(` !     Process type "${type}" is gone from this version; its processes will stop`)
  }
  const limits = daemon.store.findApp(app.name)?.limits ?? app.limits
  const config = daemon.store.config(app)
  const globals = daemon.store.globalConfig()
  const formation = daemon.store.formation(app)
  return {
    commit,
    image,
    ...withAppJson(image, before?.image, { config, globals, formation, limits }, say),
    mounts: daemon.store.mounts(app),
  }
}

/** The next release if nothing but what is set already were to change. */
export function next(daemon: Daemon, app: App): Release {
  const { store } = daemon
  return {
    ...current(daemon, app),
    config: store.config(app),
    globals: store.globalConfig(),
    mounts: store.mounts(app),
  }
}

/** The release as it runs; a Failure when there is none. */
export function current(daemon: Daemon, app: App): Release {
  const release = daemon.store.currentRelease(app.name)
  if (release) return release
  if (!daemon.store.findApp(app.name)) throw goneMeanwhile(app)
  throw new Failure('failed', `${app.name} has no release yet`, {
    hint: 'Push code first: git push paas main',
  })
}

/** For whoever has waited for the turn of an app that is not there any more. */
export function goneMeanwhile({ name }: Pick<App, 'name'>): Failure {
  return new Failure('no-such-app', `${name} was renamed or destroyed meanwhile`, {
    hint: 'All apps: apps:list',
  })
}

/** Scaling a type that the code does not have is a mistake, not a wish for later. */
export function refuseUnknownTypes(wish: Formation, release: Release): void {
  const known = Object.keys(release.image.processes).filter((type) => type !== 'release')
  const unknown = Object.keys(wish).find((type) => !known.includes(type))
  if (unknown === undefined) return
  throw new Failure('failed', `${release.app} has no process type "${unknown}"`, {
    hint: `It has: ${known.join(', ')}`,
  })
}
