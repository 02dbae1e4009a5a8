import { limits } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import type { Exit } from '../../core/types.ts'
import { waitForExit } from '../../runner/exits.ts'
import type { Host } from '../../runner/host.ts'
import { endLog } from '../../runner/log-ends.ts'
import { tailLogs } from '../../runner/logs.ts'
import { endInstance } from '../../runner/stop.ts'
import type { Active } from './run-facts.ts'
import { outcome } from './run-words.ts'
import type { RunEnd } from '../store/runs.ts'

const linesKept = 20
const leastWaitMs = 1000

/**
 * Waits until a detached run has ended, or ends it: at its deadline, or at `stop`, whose reason is
 * a Failure. Returns nothing when `closing` comes first, for it may outlive the daemon.
 */
export async function awaitEnd(
  host: Host,
  run: Active,
  { stop, closing }: { stop: AbortSignal; closing: AbortSignal },
): Promise<RunEnd | undefined> {
  const left = Math.max(leastWaitMs, Date.parse(run.deadlineAt) - Date.now())
  const signal = AbortSignal.any([stop, closing])
  let exit: Exit | undefined = await waitForExit(host, run.id, { timeoutMs: left, signal })
  let why: string | undefined
  if (!exit) {
    if (closing.aborted) return undefined
    why = stop.aborted ? String(stop.reason.message) : tooLate(run)
    exit = await endInstance(host, run.id, { graceMs: host.config.graceTimeoutMs })
  }
  const directory = paths(host.config).logs(run.app)
  await endLog(directory, run.id)
  const { lines } = await tailLogs(directory, { lines: linesKept, id: run.id })
  const output = lines.map(({ text }) => text).join('\n')
  return { ...outcome(exit, why), output: output.slice(-limits.runOutputBytes) }
}

function tooLate({ startedAt, deadlineAt }: Active): string {
  const seconds = Math.round((Date.parse(deadlineAt) - Date.parse(startedAt)) / 1000)
  return `its time of ${seconds} s was up`
}
