import { boundLogs } from '../../runner/log-ring.ts'
import type { Daemon } from '../daemon.ts'

/** An app that has been silent for so long has had its full files compressed. */
const restMs = 2 * 60_000
const slowMs = 10 * 60_000

/**
 * Keeps the apps' logs within their limit, call by call: every few seconds those of apps that may
 * be writing, and only now and then those of all, for most apps of a full server are silent.
 */
export function openLogKeeper(
  daemon: Pick<Daemon, 'store' | 'host' | 'fleet' | 'runs' | 'journal'>,
): () => Promise<void> {
  const { store, host, fleet, runs, journal } = daemon
  const heardAt = new Map<string, number>()
  let allAt = -Infinity

  return async function trimLogs(): Promise<void> {
    const now = Date.now()
    const writing = [...fleet.all(), ...runs.all()].map(({ app }) => app)
    for (const app of [...writing, ...journal.spoken()]) heardAt.set(app, now)
    for (const [app, at] of heardAt) if (now - at > restMs) heardAt.delete(app)
    const isSlow = now - allAt >= slowMs
    if (isSlow) allAt = now
    const names = isSlow ? store.apps().map(({ name }) => name) : [...heardAt.keys()]
    for (const name of names) {
      const app = store.findApp(name)
      if (app) await boundLogs(host, name, store.logLimit(app))
    }
  }
}
