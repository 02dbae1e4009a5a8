import type { Exit } from '../../core/types.ts'
import type { Run, RunEnd } from '../store/runs.ts'

/** How the end of a one-off is told. Pure. */

export const outOfMemory = 'out of memory'

/** `why` is given when we ended it ourselves; without an exit it did not leave in peace. */
export function outcome(exit: Exit | undefined, why?: string): Omit<RunEnd, 'output'> {
  const finishedAt = exit?.at ?? new Date().toISOString()
  if (why !== undefined)
    return { status: 'stopped', code: exit?.code ?? 137, detail: why, finishedAt }
  const detail = exit?.oom ? outOfMemory : null
  return { status: 'exited', code: exit?.code ?? 137, detail, finishedAt }
}

/** `exited with code 3 after 12 s (out of memory)` */
export function describeEnd(
  run: Pick<Run, 'status' | 'code' | 'detail' | 'startedAt' | 'finishedAt'>,
): string {
  const seconds = durationMs(run) / 1000
  const code = run.code === null ? '' : ` with code ${run.code}`
  const after = run.code === null ? '' : ` after ${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
  const detail = run.detail === null ? '' : ` (${run.detail})`
  return `${verbs[run.status]}${code}${after}${detail}`
}

/** Whether somebody should look at it. */
export function hasFailed(run: Pick<Run, 'status' | 'code'>): boolean {
  if (run.status === 'exited') return run.code !== 0
  return run.status === 'failed' || run.status === 'lost' || run.status === 'missed'
}

/** Milliseconds from its start to its end, or until now. */
export function durationMs(run: Pick<Run, 'startedAt' | 'finishedAt'>): number {
  const until = run.finishedAt === null ? Date.now() : Date.parse(run.finishedAt)
  return Math.max(0, until - Date.parse(run.startedAt))
}

const verbs: Record<Run['status'], string> = {
  running: 'runs',
  exited: 'exited',
  stopped: 'was stopped',
  lost: 'was lost',
  failed: 'did not start',
  skipped: 'was skipped',
  missed: 'was missed',
}
