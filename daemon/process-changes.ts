import { isDeepStrictEqual } from 'node:util'
import { Failure } from '../core/errors.ts'
import { limits as fixed } from '../core/config.ts'
import type { App, AppLimits, Formation, Limits, Release } from '../core/types.ts'
import { applyInTurn, current, limitsChange, scaleChange, takeTurn } from './changes.ts'
import type { Daemon } from './daemon.ts'
import type { Change } from './deploy.ts'
import type { Member } from './fleet/fleet.ts'
import { limitsOf, processType, stoppedTypes } from './fleet/processes.ts'
import type { Ask } from './queue.ts'

/** How many of a type: that many, or so many more or fewer than there are. */
export type CountWish = { type: string; sign: '' | '+' | '-'; count: number }

const instancesMost = 64

/** Pure: the counts that are wished for. Throws a usage Failure for more than can run. */
export function wishedFormation(now: Formation, wishes: CountWish[]): Formation {
  const entries = wishes.map(({ type, sign, count }) => {
    const base = sign === '' ? 0 : (now[type] ?? 0)
    const wanted = Math.max(0, base + (sign === '-' ? -count : count))
    const most = type === 'web' ? fixed.routeUpstreams : instancesMost
    if (wanted > most) throw new Failure('usage', `${type} can have at most ${most}`)
    return [type, wanted] as const
  })
  return Object.fromEntries(entries)
}

/** No process of these types, or of any, runs until `ps:start`; how many there were is kept. */
export function stopChange(daemon: Daemon, app: App, types: string[], by: string): Change {
  const decide = (release: Release): Formation => {
    const named = types.length > 0 ? types : Object.keys(release.formation)
    const running = named.filter((type) => (release.formation[type] ?? 0) > 0)
    const counts = running.map((type) => [type, release.formation[type] ?? 0] as const)
    const before = daemon.store.findApp(app.name)?.stopped ?? {}
    // Written before the stop itself: it means nothing as long as processes are wanted.
    daemon.store.setStopped(app, { ...before, ...Object.fromEntries(counts) })
    return Object.fromEntries(named.map((type) => [type, 0]))
  }
  return { ...scaleChange(daemon, app, decide, by), cause: 'Stop' }
}

/** Brings back what was stopped: these types, or all that were. */
export function startChange(daemon: Daemon, app: App, types: string[], by: string): Change {
  const decide = ({ formation, image }: Release): Formation => {
    const stopped = stoppedTypes(daemon.store.findApp(app.name) ?? app, formation)
    // The code may have lost a type since it was stopped.
    const known = Object.keys(stopped).filter((type) => type in image.processes)
    const named = types.length > 0 ? types : known
    const idle = named.filter((type) => (formation[type] ?? 0) === 0)
    return Object.fromEntries(idle.map((type) => [type, stopped[type] ?? 1]))
  }
  return { ...scaleChange(daemon, app, decide, by), cause: 'Start' }
}

/**
 * Gives an app other limits: to the running processes as they are, where the kernel takes it, and
 * else by a release that starts them afresh. Says which.
 */
export async function applyLimits(
  daemon: Daemon,
  { app, edit, by }: { app: App; edit: (now: AppLimits) => AppLimits; by: string },
  ask: Ask,
): Promise<{ limits: AppLimits; how: 'unchanged' | 'set' | 'live' | 'restarted' }> {
  using turn = await takeTurn(daemon, app, ask)
  void turn
  const now = daemon.store.findApp(app.name)?.limits ?? app.limits
  const limits = edit(now)
  if (isDeepStrictEqual(limits, now)) return { limits, how: 'unchanged' }
  if (!daemon.store.currentRelease(app.name)) {
    daemon.store.setLimits(app, limits)
    return { limits, how: 'set' }
  }
  const before = current(daemon, app).limits
  try {
    await changeLive(daemon, app, before, limits)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    ask.say('       The running processes cannot take these limits; starting them afresh')
    await applyInTurn(daemon, limitsChange(daemon, app, limits, by), ask)
    return { limits, how: 'restarted' }
  }
  daemon.store.setLimits(app, limits)
  return { limits, how: 'live' }
}

function of(limits: AppLimits, { process }: Member): Limits {
  return limitsOf(limits, processType(process))
}

/** All running processes or none: those that were changed get their old limits back. */
async function changeLive(
  daemon: Daemon,
  app: App,
  before: AppLimits,
  after: AppLimits,
): Promise<void> {
  const { fleet } = daemon
  const done: Member[] = []
  const live = fleet.of(app.name).filter(({ state }) => state === 'live')
  try {
    for (const member of live) {
      if (JSON.stringify(of(before, member)) === JSON.stringify(of(after, member))) continue
      done.push(member)
      await fleet.changeLimits(member, of(after, member))
    }
  } catch (error) {
    await Promise.allSettled(done.map((one) => fleet.changeLimits(one, of(before, one))))
    throw error
  }
}
