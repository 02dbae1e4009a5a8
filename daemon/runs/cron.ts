import { newId } from '../../core/names.ts'
import { Failure } from '../../core/errors.ts'
import { limits } from '../../core/config.ts'
import { log, logError } from '../../core/log.ts'
import type { Release } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { shellArgv } from '../fleet/processes.ts'
import { facts, type Wish } from './run-facts.ts'
import { type Schedule, parseSchedule, whatIsDue } from './schedule.ts'
import type { CronJob } from '../store/cron.ts'
import type { RunStatus } from '../store/runs.ts'

const longestWaitMs = 30_000

/**
 * Starts cron jobs when they are due. Which due times have been dealt with is in the store, written
 * before a run begins: a daemon killed at any moment never starts the same one twice.
 */
export class Cron {
  readonly #daemon: Pick<Daemon, 'store' | 'runs' | 'journal'>
  readonly #schedules = new Map<string, Schedule>()
  readonly #closing = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(daemon: Pick<Daemon, 'store' | 'runs' | 'journal'>) {
    this.#daemon = daemon
  }

  close(): void {
    this.#closing.abort(new Failure('temporary', 'paas is shutting down'))
    clearTimeout(this.#timer)
  }

  /** Starts what is due now, and looks again when the next is; call it after every change. */
  look(): void {
    clearTimeout(this.#timer)
    if (this.#closing.signal.aborted) return
    const now = new Date()
    let wait = longestWaitMs // the clock may be set meanwhile
    for (const job of this.#daemon.store.cronJobs()) {
      if (job.suspended) continue
      try {
        this.#lookAt(job, now)
        const next = this.schedule(job).next(now)
        if (next) wait = Math.min(wait, next.getTime() - now.getTime())
      } catch (error) {
        logError('cron-failed', error, { app: job.app, job: job.number })
      }
    }
    this.#timer = setTimeout(() => this.look(), Math.max(1, wait))
  }

  schedule({ schedule, timezone }: Pick<CronJob, 'schedule' | 'timezone'>): Schedule {
    const key = `${timezone} ${schedule}`
    const known = this.#schedules.get(key) ?? parseSchedule(schedule, timezone)
    this.#schedules.set(key, known)
    return known
  }

  /** Starts a job at once, not when it is due. Throws when it may not run beside another. */
  async run(job: CronJob, by: string): Promise<void> {
    if (job.concurrency === 'forbid' && this.#going(job).length > 0) {
      throw new Failure('temporary', `cron.${job.number} of ${job.app} still runs`, {
        hint: `Stop it with: run:stop ${job.app} cron.${job.number}`,
      })
    }
    await this.#start(job, by)
  }

  /** Makes the jobs of app.json those that a release, which now serves, asks for. Never throws. */
  follow(release: Release): void {
    const { store, runs } = this.#daemon
    try {
      const app = store.findApp(release.app)
      if (!app) return
      store.syncCronJobs(app, release.image.cron ?? [])
      const here = new Set(store.cronJobs(app).map(({ id }) => id))
      for (const run of runs.of(app.name)) {
        if (run.jobId !== null && !here.has(run.jobId)) run.stop('app.json has its job no more')
      }
      this.look()
    } catch (error) {
      logError('cron-failed', error, { app: release.app })
    }
  }

  #lookAt(job: CronJob, now: Date): void {
    const due = whatIsDue(this.schedule(job), new Date(job.handledAt), now)
    if (!due) return
    this.#daemon.store.handledCron(job, due.handled)
    if (due.missed) this.#note(job, 'missed', `due at ${due.missed.toISOString()}, paas was down`)
    if (due.run) void this.#fire(job)
  }

  async #fire(job: CronJob): Promise<void> {
    const [going] = this.#going(job)
    if (going && job.concurrency === 'forbid') {
      return this.#note(job, 'skipped', `the run of ${going.startedAt} still goes on`)
    }
    try {
      await this.#start(job, 'cron')
    } catch (error) {
      if (this.#closing.signal.aborted) return
      if (!(error instanceof Failure)) logError('cron-failed', error, { app: job.app })
      this.#say(
        job,
        `did not start: ${error instanceof Failure ? error.message : 'internal error'}`,
      )
    }
  }

  async #start(job: CronJob, by: string): Promise<void> {
    const { store, runs } = this.#daemon
    if (job.concurrency === 'replace') {
      const going = this.#going(job)
      for (const run of going) run.stop('the next run took its place')
      await Promise.all(going.map(({ ended }) => ended))
    }
    const app = store.findApp(job.app)
    const release = store.currentRelease(job.app)
    if (!app || !release) {
      this.#note(job, 'failed', 'the app has no release yet')
      throw new Failure('failed', `${job.app} has no release yet`)
    }
    await runs.start(app, release, wishOf(job, by), job, this.#closing.signal)
  }

  #going(job: CronJob) {
    return this.#daemon.runs.of(job.app).filter(({ jobId }) => jobId === job.id)
  }

  /** A run that there never was, for the history. */
  #note(job: CronJob, status: RunStatus, detail: string): void {
    const { store, runs } = this.#daemon
    const app = store.findApp(job.app)
    if (!app) return
    const release = { app: job.app, version: store.currentRelease(job.app)?.version ?? 0 }
    const run = facts(release, wishOf(job, 'cron'), {
      id: newId(),
      process: `cron.${job.number}`,
      layers: [],
    })
    const finishedAt = run.startedAt
    runs
      .note(app, job, { ...run, status, detail, finishedAt })
      .catch((error) => logError('cron-failed', error, { app: job.app }))
    if (status !== 'failed') this.#say(job, `was ${status}: ${detail}`)
  }

  #say(job: CronJob, text: string): void {
    log('cron', { app: job.app, job: job.number, text })
    const release = this.#daemon.store.currentRelease(job.app)?.version ?? 0
    const source = { process: `cron.${job.number}`, release }
    this.#daemon.journal.write(job.app, source, `=====> cron.${job.number} ${text}`)
  }
}

function wishOf(job: CronJob, by: string): Wish {
  const { command } = job
  return { argv: shellArgv(command), env: {}, command, ttlMs: limits.runTtlMs, by }
}
