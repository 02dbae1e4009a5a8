import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { must, number, optional, type Row, text } from './rows.ts'

/** The cron jobs of all apps. */

export type Concurrency = 'allow' | 'forbid' | 'replace'

export type CronJob = {
  id: number
  app: string
  /** From 1 within its app; its processes are called `cron.<number>`. */
  number: number
  schedule: string
  /** IANA name, such as `Europe/Berlin`. */
  timezone: string
  /** What happens when it is due while an earlier run of it still goes on. */
  concurrency: Concurrency
  /** Text for the app's shell. */
  command: string
  suspended: boolean
  /** Every due time up to this one has been dealt with. */
  handledAt: string
}

const columns = 'cron_jobs.*, apps.name as app from cron_jobs join apps on apps.id = app_id'

export function cronStore({ all, get, run }: Database) {
  return {
    /** In the order of their numbers; without an app, those of all. */
    cronJobs: (app?: App): CronJob[] =>
      all(`select ${columns} where ?1 is null or app_id = ?1 order by number`, app?.id ?? null).map(
        toJob,
      ),

    findCronJob: (app: App, job: number): CronJob | undefined =>
      optional(get(`select ${columns} where app_id = ? and number = ?`, app.id, job), toJob),

    addCronJob(
      app: App,
      job: Pick<CronJob, 'schedule' | 'timezone' | 'concurrency' | 'command'>,
    ): CronJob {
      const { id } = must(
        get(
          `insert into cron_jobs (app_id, number, schedule, timezone, concurrency, command,
            handled_at, created_at) values (?1, (select coalesce(max(number), 0) + 1 from cron_jobs
            where app_id = ?1), ?2, ?3, ?4, ?5, ?6, ?6) returning id`,
          app.id,
          job.schedule,
          job.timezone,
          job.concurrency,
          job.command,
          now(),
        ),
      )
      return toJob(must(get(`select ${columns} where cron_jobs.id = ?`, number(id))))
    },

    removeCronJob: (job: CronJob) => run('delete from cron_jobs where id = ?', job.id),

    /** One that is resumed owes nothing of the time it was suspended. */
    suspendCronJob: (job: CronJob, suspended: boolean) =>
      run(
        'update cron_jobs set suspended = ?, handled_at = ? where id = ?',
        suspended ? 1 : 0,
        now(),
        job.id,
      ),

    handledCron: (job: CronJob, at: Date) =>
      run('update cron_jobs set handled_at = ? where id = ?', at.toISOString(), job.id),
  }
}

function toJob(row: Row): CronJob {
  const policies = ['allow', 'forbid', 'replace'] as const
  return {
    id: number(row.id),
    app: text(row.app),
    number: number(row.number),
    schedule: text(row.schedule),
    timezone: text(row.timezone),
    concurrency: policies.find((policy) => policy === row.concurrency) ?? 'forbid',
    command: text(row.command),
    suspended: row.suspended === 1,
    handledAt: text(row.handled_at),
  }
}
