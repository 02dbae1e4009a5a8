import { logError } from '../core/log.ts'
import { isRunning, type Router } from '../router/caddy.ts'
import { openNetwork } from '../runner/host.ts'
import { releaseMemory } from '../runner/memory.ts'
import { forgetOldNames } from './apps/rename-files.ts'
import type { Daemon } from './daemon.ts'
import { emptyTrash } from './disk/storage.ts'
import { openLogKeeper } from './logs/log-keeper.ts'

const routerMs = 500
const fleetMs = 2000
const trimMs = 5000
const tickMs = 30_000

/** Looks at everything now and then, for what nobody reports. */
export function openWatch(
  daemon: Daemon,
  router: { now: () => Router; reopen: () => Promise<void> },
): { close: () => void } {
  const timers = [
    every(routerMs, 'router-failed', routerLook(daemon, router)),
    every(fleetMs, 'fleet-failed', () => daemon.fleet.check()),
    every(tickMs, 'tick-failed', () => look(daemon)),
    every(trimMs, 'trim-failed', openLogKeeper(daemon)), // a flood of lines needs it so often
  ]
  return { close: () => timers.forEach((timer) => clearInterval(timer)) }
}

/** Repeats `work`; a round that is still at work when the next is due is waited for. */
function every(ms: number, event: string, work: () => Promise<void>): NodeJS.Timeout {
  let busy = false
  return setInterval(() => {
    if (busy) return
    busy = true
    work()
      .catch((error) => logError(event, error))
      .finally(() => {
        busy = false
      })
  }, ms)
}

/**
 * Starts the router again when it was killed, or has not answered for a while. Whether it lives
 * costs one read of /proc; to answer costs it some work, and it is asked less often.
 */
function routerLook(
  daemon: Daemon,
  router: { now: () => Router; reopen: () => Promise<void> },
): () => Promise<void> {
  let askAt = Date.now() + tickMs
  return async () => {
    const isDue = Date.now() > askAt
    if (isDue) askAt = Date.now() + tickMs
    if (isRunning(router.now()) && (!isDue || (await router.now().api.ping()))) return
    await router.reopen() // asks one that lives for some time more before it is ended
    void daemon.reconcile.all()
  }
}

/** One slow look: the network, processes and routes, the daemon's own memory. */
async function look(daemon: Daemon): Promise<void> {
  await openNetwork(daemon.config) // somebody may have flushed the firewall
  daemon.metrics.turn()
  void daemon.reconcile.all() // what is slow to start keeps nothing else waiting
  await forgetOldNames(daemon)
  await emptyTrash(daemon)
  if (!daemon.queue.busy()) releaseMemory()
}
