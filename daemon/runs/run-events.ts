import type { App } from '../../core/types.ts'
import { describeEnd, hasFailed } from './run-words.ts'
import type { Run } from '../store/runs.ts'
import type { Store } from '../store/store.ts'

/**
 * Tells `events` of a cron job that failed, before its end is written down: only the first time
 * after it went well, for a job that fails every minute would push all else out.
 */
export function recordJobFailure(
  store: Pick<Store, 'addEvent' | 'lastCronRuns'>,
  app: App,
  run: Pick<Run, 'process' | 'release' | 'status' | 'code' | 'detail' | 'startedAt' | 'finishedAt'>,
): void {
  const [, number] = /^cron\.(\d+)$/.exec(run.process) ?? []
  if (number === undefined || !hasFailed(run)) return
  const before = store.lastCronRuns(app).get(Number(number))
  if (before && hasFailed(before)) return
  const text = `${run.process} ${describeEnd(run)}`
  store.addEvent(app, { kind: 'cron-failed', by: 'cron', release: run.release, text })
}
