import { setTimeout as delay } from 'node:timers/promises'
import type { HealthCheck } from '../../core/app-json.ts'
import { logError } from '../../core/log.ts'
import { describeProbe, probe } from '../../runner/probe.ts'
import { livenessOf, modeOf } from './checks.ts'
import type { Daemon } from '../daemon.ts'
import type { Member } from './fleet.ts'
import { processType } from './processes.ts'

const waitMs = 5000
const shortestWaitMs = 250

/**
 * Asks the liveness checks of app.json for as long as a process serves. One that fails all its
 * attempts in a row is stopped and started afresh by reconcile.
 */
export type Liveness = ReturnType<typeof openLiveness>

export function openLiveness(daemon: Daemon) {
  const watched = new Map<string, AbortController>()

  function forget(id: string): void {
    watched.get(id)?.abort()
    watched.delete(id)
  }

  return {
    forget,

    /** Begins to watch a process that serves; nothing when its release has no liveness checks. */
    watch(member: Member): void {
      const release = daemon.store.currentRelease(member.app)
      if (release?.version !== member.release || watched.has(member.id)) return
      const type = processType(member.process)
      const mode = modeOf(daemon.store.checks(member.app), type)
      const checks = livenessOf(release.image, type, mode)
      if (checks.length === 0) return
      const own = new AbortController()
      watched.set(member.id, own)
      for (const check of checks) {
        watch(daemon, member, check, own.signal).catch((error) =>
          logError('liveness-failed', error, { app: member.app, process: member.process }),
        )
      }
    },

    close(): void {
      for (const id of watched.keys()) forget(id)
    },
  }
}

async function watch(
  daemon: Daemon,
  member: Member,
  check: HealthCheck,
  signal: AbortSignal,
): Promise<void> {
  await pause(check.initialDelayMs, signal)
  let lastWellAt = 0
  let failures = 0
  while (!signal.aborted) {
    const seen = await probe(daemon.host, member, check, signal)
    if (signal.aborted) return
    // One that is paused cannot answer, and nobody should hold that against it.
    const isWell = seen === undefined || daemon.fleet.isPaused(member)
    if (isWell) lastWellAt = Date.now()
    failures = isWell ? 0 : failures + 1
    if (failures >= check.attempts) {
      const times = failures === 1 ? 'once' : `${failures} times in a row`
      const reason = `liveness check failed ${times}: ${describeProbe(check.probe)}: ${seen}`
      return daemon.reconcile.unwell(member, reason, lastWellAt)
    }
    await pause(Math.max(shortestWaitMs, check.waitMs ?? waitMs), signal)
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}
