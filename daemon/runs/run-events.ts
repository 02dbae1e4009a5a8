import type { App } from '../../core/types.ts'
import { describeEnd, hasFailed, outOfMemory } from './run-words.ts'
import type { Run } from '../store/runs.ts'
import type { Store } from '../store/store.ts'

/**
 * Tells `events` of a run that wanted more memory than it may have, and of a cron job that failed,
 * before its end is written down: of that only the first time after it went well, for a job that
 * fails every minute would push all else out.
 */
export function recordRunFailure(
  store: Pick<Store, 'addEvent' | 'lastCronRuns'>,
  app: App,
  run: Pick<
    Run,
    'process' | 'release' | 'by' | 'status' | 'code' | 'detail' | 'startedAt' | 'finishedAt'
  >,
): void {
  if (!hasFailed(run)) return
  const text = `${run.process} ${describeEnd(run)}`
  const [, number] = /^cron\.(\d+)$/.exec(run.process) ?? []
  if (number === undefined) {
    if (run.detail !== outOfMemory) return
    store.addEvent(app, { kind: 'run-failed', by: run.by, release: run.release, text })
    return
  }
  const before = store.lastCronRuns(app).get(Number(number))
  if (before && hasFailed(before)) return
  store.addEvent(app, { kind: 'cron-failed', by: 'cron', release: run.release, text })
}
