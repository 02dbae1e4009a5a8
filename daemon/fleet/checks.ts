import type { HealthCheck } from '../../core/app-json.ts'
import { appPort, type PaasConfig } from '../../core/config.ts'
import type { Image } from '../../core/types.ts'
import type { CheckMode, CheckSettings } from '../store/nouns.ts'

/** Pure: what of a process is checked, how long it is waited for, and who stops first. */

/** What must hold, in order, before a process is ready; nothing when it is not waited for. */
export type Readiness = ({ port: number } | { uptimeMs: number } | { checks: HealthCheck[] })[]

const workerUptimeMs = 1000

/** Without checks of its own web must accept on its port, anything else stay up for a second. */
export function readinessOf(image: Image, type: string, mode: CheckMode): Readiness {
  if (mode === 'skipped') return []
  const all = image.appJson?.healthchecks[type] ?? []
  const checks = all.filter((check) => check.type !== 'liveness')
  const asked = checks.length > 0 ? [{ checks }] : []
  if (type === 'web') return [{ port: image.port ?? appPort }, ...asked]
  return asked.length > 0 ? asked : [{ uptimeMs: workerUptimeMs }]
}

export function livenessOf(image: Image, type: string, mode: CheckMode): HealthCheck[] {
  if (mode === 'skipped') return []
  return (image.appJson?.healthchecks[type] ?? []).filter((check) => check.type === 'liveness')
}

/** Whether the old processes of a type stop before the new ones start. */
export function stopsFirst(image: Image, type: string, mode: CheckMode): boolean {
  return mode === 'disabled' || (image.appJson?.formation[type]?.exclusive ?? false)
}

export function modeOf({ modes }: CheckSettings, type: string): CheckMode {
  return modes[type] ?? modes['*'] ?? 'enabled'
}

/** In milliseconds: until ready, to finish open requests, from SIGTERM to SIGKILL. */
export type Timing = { readyMs: number; drainMs: number; graceMs: number }

export function timingOf(config: PaasConfig, settings: CheckSettings): Timing {
  return {
    readyMs: settings.timeoutMs ?? config.readyTimeoutMs,
    drainMs: settings.drainMs ?? config.drainTimeoutMs,
    graceMs: settings.graceMs ?? config.graceTimeoutMs,
  }
}
