import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ensureApt } from '../../builder/stack/apt.ts'
import { rebase } from '../../builder/stack/rebase.ts'
import { caddyIn, caddyLayer, caddyRuntime } from '../../builder/runtimes/caddy.ts'
import { renewStacks, type Renewal } from '../../builder/stack/renewal.ts'
import { ensureRuntime } from '../../builder/runtimes/tools.ts'
import { Failure, firstError, stopIfCancelled } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { App, Image, Layer } from '../../core/types.ts'
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
  { stack, caddy, by }: { stack: Layer; caddy: string; by: string },
  ask: Ask,
): Promise<Move[]> {
  const to = { stack, caddy, by }
  const moves: Move[] = []
  for (const app of apps) {
    stopIfCancelled(ask.signal)
    const move = await moveApp(daemon, app, to, ask)
    if (move) moves.push(move)
  }
  return moves
}

type Target = { stack: Layer; caddy: string; by: string }

/** Undefined for an app that has nothing to move. */
async function moveApp(daemon: Daemon, app: App, to: Target, ask: Ask): Promise<Move | undefined> {
  const now = daemon.store.currentRelease(app.name)
  if (!now) return undefined
  const began = performance.now()
  const end = (outcome: Move['outcome'], release: number, why: string | null): Move => {
    const seconds = Math.round((performance.now() - began) / 100) / 10
    return { app: app.name, outcome, release: `v${release}`, seconds, why }
  }
  const notes = now.image.layers.some((layer) => caddyIn(layer) === 'other settings')
    ? ['its web server is of another paas: ps:rebuild makes it anew']
    : []
  const why = (...more: string[]) => [...notes, ...more].join('; ') || null
  try {
    const { labels } = rebased(daemon, now.image, to) // what cannot be moved need not wait
    if (labels.length === 0) return end('already there', now.version, why())
    ask.say(`=====> Moving ${app.name} to ${labels.join(' and ')}`)
    const cause = `Move to ${labels.join(' and ')}`
    const release = await applyChange(daemon, rebaseChange(daemon, app, cause, to), ask)
    const runs = Object.values(release.formation).some((count) => count > 0)
    const idle = runs ? [] : ['it is stopped, so that nothing was tried']
    return end('moved', release.version, why(...idle))
  } catch (thrown) {
    stopIfCancelled(ask.signal)
    const error = firstError(thrown)
    if (!(error instanceof Failure)) logError('rebase-failed', thrown, { app: app.name })
    const seen = error instanceof Failure ? error.message : 'Internal error'
    return end('not moved', now.version, why(seen))
  }
}

/** The same code, config and formation on another stack: nothing is built. */
function rebaseChange(daemon: Daemon, app: App, cause: string, to: Target): Change {
  const { config } = daemon
  return {
    app,
    cause,
    by: to.by,
    replace: 'all',
    prepare: async (say, signal) => {
      const release = next(daemon, app)
      const { image, apt } = rebased(daemon, release.image, to)
      for (const layer of apt) await ensureApt(config, layer, { say, signal })
      const serves = image.layers.some(({ key }) => key === caddyLayer(to.caddy).key)
      if (serves) await ensureRuntime(caddyRuntime, to.caddy, { config, say, signal })
      return { ...release, image }
    },
  }
}

/** `labels` are of what is exchanged, for people. */
function rebased({ config }: Daemon, image: Image, { stack, caddy }: Target) {
  const installs = (layer: Layer) => existsSync(join(paths(config).layer(layer), dpkgStatus))
  const moved = rebase(image, { stack, caddy: caddyLayer(caddy) }, installs)
  const before = new Set(image.layers.map(({ key }) => key))
  const changed = moved.image.layers.filter(({ key }) => !before.has(key))
  return { ...moved, labels: changed.flatMap(({ kind, label }) => (kind === 'apt' ? [] : [label])) }
}

const dpkgStatus = 'var/lib/dpkg/status'

function isDebian({ kind }: Layer): boolean {
  return kind === 'stack' || kind === 'apt'
}
