import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { describeEnd, durationMs, hasFailed } from './run-words.ts'

/** What `ps` shows beside the formation: one-offs that run, and cron jobs that failed last time. */
export function runRows({ runs, store }: Daemon, app: App) {
  const running = runs.of(app.name).map((run) => ({
    process: run.process,
    state: 'running',
    release: `v${run.release}`,
    seconds: Math.round(durationMs({ startedAt: run.startedAt, finishedAt: null }) / 1000),
    address: null,
  }))
  const failed = [...store.lastCronRuns(app).values()].filter(hasFailed).map((run) => ({
    process: run.process,
    state: `failed: ${describeEnd(run)} at ${run.startedAt}`,
    release: `v${run.release}`,
    seconds: 0,
    address: null,
  }))
  return [...running, ...failed]
}
