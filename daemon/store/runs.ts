import { limits } from '../../core/config.ts'
import type { App } from '../../core/types.ts'
import type { Database } from './database.ts'
import { json, number, optional, type Row, text } from './rows.ts'

/** Containers that outlive their connection, running and finished: `run:detached` and cron. */

export type RunStatus = 'running' | 'exited' | 'stopped' | 'lost' | 'failed' | 'skipped' | 'missed'

export type Run = {
  /** The container's id; a run that never started has an id all the same. */
  id: string
  app: string
  /** Number of the cron job it is of. */
  job: number | null
  /** `run.3`, or `cron.2` for every run of cron job 2. */
  process: string
  release: number
  command: string
  /** Content keys of the layers it stands on, which must stay as long as it runs. */
  layers: string[]
  by: string
  status: RunStatus
  /** The exit code, where there was one. */
  code: number | null
  /** What a person should know beside the code: `out of memory`, why it did not start. */
  detail: string | null
  /** Its last lines. */
  output: string
  startedAt: string
  deadlineAt: string
  finishedAt: string | null
}

export type RunEnd = Pick<Run, 'status' | 'code' | 'detail' | 'output'> & { finishedAt: string }

const columns = `runs.*, apps.name as app, cron_jobs.number as job from runs
  join apps on apps.id = runs.app_id left join cron_jobs on cron_jobs.id = job_id`

export function runStore({ all, get, run, transaction }: Database) {
  return {
    /** Writes a run; returns the ids of the old ones, of the same job or app, forgotten for it. */
    createRun: (app: App, jobId: number | null, made: Omit<Run, 'app' | 'job'>): string[] =>
      transaction(() => {
        run(
          `insert into runs (id, app_id, job_id, process, release, command, layers, by, status,
            code, detail, output, started_at, deadline_at, finished_at)
            values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          ...values(app, jobId, made),
        )
        return all(
          `delete from runs where app_id = ?1 and job_id is ?2 and status <> 'running' and
            id not in (select id from runs where app_id = ?1 and job_id is ?2
            order by started_at desc, rowid desc limit ?3) returning id`,
          app.id,
          jobId,
          limits.runsKept,
        ).map(({ id }) => text(id))
      }),

    endRun: (id: string, end: RunEnd) =>
      run(
        `update runs set status = ?, code = ?, detail = ?, output = ?, finished_at = ?
          where id = ?`,
        end.status,
        end.code,
        end.detail,
        end.output,
        end.finishedAt,
        id,
      ),

    /** Those that run, of all apps. */
    runsRunning: (): Run[] => all(`select ${columns} where runs.status = 'running'`).map(toRun),

    /** Newest first; with a job's number, those of that job alone. */
    runs: (app: App, job?: number): Run[] =>
      all(
        `select ${columns} where runs.app_id = ?1 and (?2 is null or cron_jobs.number = ?2)
          order by runs.started_at desc, runs.rowid desc`,
        app.id,
        job ?? null,
      ).map(toRun),

    /** The newest finished run of each cron job. */
    lastCronRuns: (app: App): Map<number, Run> => {
      const rows = all(
        `select ${columns} where runs.app_id = ? and job_id is not null and
          runs.status not in ('running', 'skipped') order by runs.started_at, runs.rowid`,
        app.id,
      )
      return new Map(rows.map(toRun).map((one) => [one.job ?? 0, one]))
    },

    /** The highest number that a `run.N` of the app ever had, as far as is known. */
    lastRunNumber: (app: App): number =>
      optional(
        get(
          `select max(cast(substr(process, 5) as integer)) as last from runs
            where app_id = ? and process like 'run.%'`,
          app.id,
        ),
        ({ last }) => Number(last ?? 0),
      ) ?? 0,
  }
}

function values(app: App, jobId: number | null, run: Omit<Run, 'app' | 'job'>) {
  const { id, process, release, command, by, status, code, detail, output } = run
  const times = [run.startedAt, run.deadlineAt, run.finishedAt]
  const layers = JSON.stringify(run.layers)
  const facts = [process, release, command, layers, by, status, code, detail, output]
  return [id, app.id, jobId, ...facts, ...times]
}

const statuses = ['running', 'exited', 'stopped', 'lost', 'failed', 'skipped', 'missed'] as const

function toRun(row: Row): Run {
  const layers = json(row.layers)
  return {
    id: text(row.id),
    app: text(row.app),
    job: row.job === null ? null : number(row.job),
    process: text(row.process),
    release: number(row.release),
    command: text(row.command),
    layers: Array.isArray(layers) ? layers.map(text) : [],
    by: text(row.by),
    status: statuses.find((status) => status === row.status) ?? 'lost',
    code: row.code === null ? null : number(row.code),
    detail: row.detail === null ? null : text(row.detail),
    output: text(row.output),
    startedAt: text(row.started_at),
    deadlineAt: text(row.deadline_at),
    finishedAt: row.finished_at === null ? null : text(row.finished_at),
  }
}
