import { setTimeout as delay } from 'node:timers/promises'
import type { HealthCheck } from '../core/app-json.ts'
import type { Instance } from '../core/types.ts'
import type { Host } from './host.ts'
import { describeProbe, probe } from './probe.ts'

const pollMs = 25

/**
 * Asks the startup and then the readiness checks, in the order written. Without a `wait` of its
 * own a check is polled until it is good or `timeoutMs` is over; with one it is asked `attempts`
 * times. Resolves with undefined when all are good, or with the sentence about the first that is
 * not.
 */
export async function passChecks(
  host: Host,
  instance: Instance,
  checks: HealthCheck[],
  limits: { timeoutMs: number; signal: AbortSignal },
): Promise<string | undefined> {
  const deadline = performance.now() + limits.timeoutMs
  const inOrder = [
    ...checks.filter(({ type }) => type === 'startup'),
    ...checks.filter(({ type }) => type === 'readiness'),
  ]
  for (const check of inOrder) {
    const failed = await pass(host, instance, check, { deadline, signal: limits.signal })
    if (failed) return failed
  }
  return undefined
}

/** The longest that these checks may take with what they ask for themselves, in milliseconds. */
export function longestChecks(checks: HealthCheck[], timeoutMs: number): number {
  const own = checks.map(({ probe: asked, attempts, initialDelayMs, timeoutMs: each, waitMs }) => {
    const uptimeMs = asked.kind === 'uptime' ? asked.uptimeMs : 0
    return initialDelayMs + uptimeMs + each + (waitMs ? attempts * (waitMs + each) : 0)
  })
  return timeoutMs + own.reduce((sum, ms) => sum + ms, 0)
}

/** `web failed its readiness check (GET /health: answered 503, 3 tries in 10.2 s)` */
export function failedCheck(
  process: string,
  check: Pick<HealthCheck, 'type' | 'probe'>,
  seen: string,
  tries: string,
): string {
  return `${process} failed its ${check.type} check (${describeProbe(check.probe)}: ${seen}, ${tries})`
}

async function pass(
  host: Host,
  instance: Instance,
  check: HealthCheck,
  { deadline, signal }: { deadline: number; signal: AbortSignal },
): Promise<string | undefined> {
  const began = performance.now()
  await pause(check.initialDelayMs, signal)
  for (let tries = 1; !signal.aborted; tries++) {
    const seen = await probe(host, instance, check, signal)
    if (seen === undefined || signal.aborted) return undefined
    const spent =
      check.waitMs === undefined ? performance.now() > deadline : tries >= check.attempts
    if (spent) {
      const seconds = ((performance.now() - began) / 1000).toFixed(1)
      const count = tries === 1 ? '1 try' : `${tries} tries`
      const type = instance.process.replace(/\.\d+$/, '')
      return failedCheck(type, check, seen, `${count} in ${seconds} s`)
    }
    await pause(check.waitMs ?? pollMs, signal)
  }
  return undefined
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal }).catch(() => {})
}
