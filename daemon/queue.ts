import { cancelled, Failure } from '../core/errors.ts'
import type { Say } from '../core/types.ts'

/**
 * One change of an app at a time, in the order of asking. The queue lives in memory and dies with
 * the daemon: there is no lock file and nothing to unlock after a crash.
 */
export type Queue = ReturnType<typeof openQueue>

/** Who asks for a turn. `inside` is the app whose change called the plugin that asks. */
export type Ask = {
  kind?: 'push' | 'command'
  say: Say
  signal: AbortSignal
  inside?: string | null
}

type Ticket = { kind: 'push' | 'command'; start: () => void; replace: () => void }

/** Which app has a name now, if any; throws for one that nobody may change. */
type Guard = (app: string) => number | undefined

export function openQueue(guard: Guard = () => undefined) {
  const lines = new Map<string, Ticket[]>()

  /** Whether any app is being changed right now. */
  const busy = () => lines.size > 0

  /**
   * Waits for the app's turn, which lasts until the returned value is disposed of. A push that
   * waits is replaced (rejected with a Failure) when a newer push of the same app arrives. A plugin
   * that asks from inside a change of the same app is refused, for it would wait for itself.
   */
  async function turn(app: string, ask: Ask): Promise<Disposable> {
    const { kind = 'command', say, signal } = ask
    if (ask.inside === app && lines.has(app)) {
      throw new Failure('temporary', `${app} is being changed by what this plugin was called for`, {
        hint: 'A trigger may read and may change other apps, not the one it runs for',
      })
    }
    if (signal.aborted) throw cancelled(signal)
    const meant = guard(app)
    const line = lines.get(app) ?? []
    lines.set(app, line)
    if (kind === 'push') for (const one of line.slice(1)) if (one.kind === 'push') one.replace()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const ticket: Ticket = {
      kind,
      start: resolve,
      replace: () => {
        leave()
        reject(
          new Failure('temporary', `A newer push of ${app} took this one's place in the queue`),
        )
      },
    }
    const leave = () => {
      const index = line.indexOf(ticket)
      if (index === -1) return
      line.splice(index, 1)
      if (line.length === 0) lines.delete(app)
      else if (index === 0) line[0]?.start()
    }
    const onAbort = () => {
      leave()
      reject(cancelled(signal))
    }
    line.push(ticket)
    signal.addEventListener('abort', onAbort)
    try {
      if (line[0] === ticket) resolve()
      else say(`-----> Waiting for ${ahead(line.length - 1)} of ${app} to finish`)
      await promise
      // It may have been locked meanwhile, or the name may be another's or nobody's.
      if (guard(app) !== meant && meant !== undefined) throw goneMeanwhile(app)
    } catch (error) {
      leave()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    return { [Symbol.dispose]: leave }
  }

  return { turn, busy }
}

/** For whoever has waited for the turn of an app that is not there any more. */
export function goneMeanwhile(app: string): Failure {
  return new Failure('no-such-app', `${app} was renamed or destroyed meanwhile`, {
    hint: 'All apps: apps:list',
  })
}

function ahead(count: number): string {
  return count === 1 ? 'another change' : `${count} other changes`
}
