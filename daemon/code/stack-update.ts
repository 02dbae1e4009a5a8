import { ensureApt } from '../../builder/apt.ts'
import { rebase } from '../../builder/rebase.ts'
import { renewStacks, type Renewal } from '../../builder/stack-renewal.ts'
import { Failure, firstError, stopIfCancelled } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import type { App, Layer } from '../../core/types.ts'
import { applyChange, next } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import type { Change } from '../deploy.ts'
import type { Ask } from '../queue.ts'

/** What became of one app; `why` says what stood in the way, or what else there is to know. */
export type Move = {
  app: string
  outcome: 'moved' | 'already there' | 'not moved'
  release: string | null
  seconds: number
  why: string | null
}

/** Makes newer stacks where there is anything newer, for all that apps have of Debian. */
export function renew(
  daemon: Daemon,
  asked: { by: string; always: boolean },
  { say, signal }: Pick<Ask, 'say' | 'signal'>,
): Promise<Renewal> {
  const above = daemon.store.apps().flatMap(({ name }) => {
    const release = daemon.store.currentRelease(name)
    return release ? [release.image.layers.filter(isDebian)] : []
  })
  const { always } = asked
  return renewStacks(daemon.config, { above, always }, { say, signal }).then((renewal) => {
    const { made, stacks } = renewal
    const text = `Made ${stacks.run.label}`
    if (made) daemon.store.addEvent(null, { kind: 'stack', by: asked.by, release: null, text })
    return renewal
  })
}

/** Moves apps onto a stack, one after the other; what one of them meets stops no other. */
export async function moveApps(
  daemon: Daemon,
  apps: App[],
  { stack, by }: { stack: Layer; by: string },
  ask: Ask,
): Promise<Move[]> {
  const moves: Move[] = []
  for (const app of apps) {
    stopIfCancelled(ask.signal)
    const move = await moveApp(daemon, app, { stack, by }, ask)
    if (move) moves.push(move)
  }
  return moves
}

/** Undefined for an app that has nothing to move. */
async function moveApp(
  daemon: Daemon,
  app: App,
  { stack, by }: { stack: Layer; by: string },
  ask: Ask,
): Promise<Move | undefined> {
  const now = daemon.store.currentRelease(app.name)
  if (!now) return undefined
  const began = performance.now()
  const end = (outcome: Move['outcome'], release: number, why: string | null): Move => {
    const seconds = Math.round((performance.now() - began) / 100) / 10
    return { app: app.name, outcome, release: `v${release}`, seconds, why }
  }
  if (now.image.layers[0]?.key === stack.key) return end('already there', now.version, null)
  try {
    rebase(now.image, stack) // what cannot be moved need not wait for its turn
    ask.say(`=====> Moving ${app.name} to ${stack.label}`)
    const release = await applyChange(daemon, rebaseChange(daemon, app, stack, by), ask)
    const runs = Object.values(release.formation).some((count) => count > 0)
    return end('moved', release.version, runs ? null : 'it is stopped, so that nothing was tried')
  } catch (thrown) {
    stopIfCancelled(ask.signal)
    const error = firstError(thrown)
    if (!(error instanceof Failure)) logError('rebase-failed', thrown, { app: app.name })
    const why = error instanceof Failure ? error.message : 'Internal error'
    return end('not moved', now.version, why)
  }
}

/** The same code, config and formation on another stack: nothing is built. */
function rebaseChange(daemon: Daemon, app: App, stack: Layer, by: string): Change {
  return {
    app,
    cause: `Move to ${stack.label}`,
    by,
    replace: 'all',
    prepare: async (say, signal) => {
      const release = next(daemon, app)
      const { image, apt } = rebase(release.image, stack)
      for (const layer of apt) await ensureApt(daemon.config, layer, { say, signal })
      return { ...release, image }
    },
  }
}

function isDebian({ kind }: Layer): boolean {
  return kind === 'stack' || kind === 'apt'
}
