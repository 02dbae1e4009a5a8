import type { App, CronEntry } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { must, number, optional, type Row, text, toCronEntry } from './rows.ts'

/** The cron jobs of all apps. */

export type CronJob = CronEntry & {
  id: number
  app: string
  /** From 1 within its app; its processes are called `cron.<number>`. */
  number: number
  /** Who asked for it: the code, or somebody by `cron:add`. */
  source: 'user' | 'app.json'
  suspended: boolean
  /** Every due time up to this one has been dealt with. */
  handledAt: string
}

const columns = 'cron_jobs.*, apps.name as app from cron_jobs join apps on apps.id = app_id'

export function cronStore({ all, get, run, transaction }: Database) {
  const add = (app: App, job: CronEntry, source: CronJob['source']): CronJob => {
    const { schedule, timezone, concurrency, command } = job
    const { id } = must(
      get(
        `insert into cron_jobs (app_id, number, schedule, timezone, concurrency, command, source,
          handled_at, created_at) values (?1, (select coalesce(max(number), 0) + 1 from cron_jobs
          where app_id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?7) returning id`,
        ...[app.id, schedule, timezone, concurrency, command, source, now()],
      ),
    )
    return toJob(must(get(`select ${columns} where cron_jobs.id = ?`, number(id))))
  }

  /** A job with another schedule owes nothing of its old one. */
  const change = (job: CronJob, { schedule, timezone, concurrency }: CronEntry) => {
    const isMoved = schedule !== job.schedule || timezone !== job.timezone
    run(
      `update cron_jobs set schedule = ?, timezone = ?, concurrency = ?, handled_at = ?
        where id = ?`,
      ...[schedule, timezone, concurrency, isMoved ? now() : job.handledAt, job.id],
    )
  }

  return {
    /** In the order of their numbers; without an app, those of all. */
    cronJobs: (app?: App): CronJob[] =>
      all(`select ${columns} where ?1 is null or app_id = ?1 order by number`, app?.id ?? null).map(
        toJob,
      ),

    findCronJob: (app: App, job: number): CronJob | undefined =>
      optional(get(`select ${columns} where app_id = ? and number = ?`, app.id, job), toJob),

    addCronJob: (app: App, job: CronEntry): CronJob => add(app, job, 'user'),

    /**
     * Makes the jobs of app.json those that a release asks for. A job whose command is the same
     * stays the same job, whatever else about it is new.
     */
    syncCronJobs: (app: App, wanted: CronEntry[]): void =>
      transaction(() => {
        const old = all(
          `select ${columns} where app_id = ? and source = 'app.json' order by number`,
          app.id,
        ).map(toJob)
        for (const entry of wanted) {
          const index = old.findIndex(({ command }) => command === entry.command)
          const [same] = index === -1 ? [] : old.splice(index, 1)
          if (same) change(same, entry)
          else add(app, entry, 'app.json')
        }
        for (const { id } of old) run('delete from cron_jobs where id = ?', id)
      }),

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
  return {
    ...toCronEntry(row),
    id: number(row.id),
    app: text(row.app),
    number: number(row.number),
    source: row.source === 'user' ? 'user' : 'app.json',
    suspended: row.suspended === 1,
    handledAt: text(row.handled_at),
  }
}
