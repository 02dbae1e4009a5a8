import { setMaxListeners } from 'node:events'
import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { log, logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { App, Exit, Release } from '../../core/types.ts'
import { forgetLog } from '../../runner/log-ends.ts'
import { startInstance } from '../../runner/start.ts'
import { storageMounts } from '../disk/storage.ts'
import { removeInstance } from '../../runner/stop.ts'
import type { Daemon } from '../daemon.ts'
import { maskerOf } from '../mask.ts'
import { instanceSpec, lookedUp } from '../fleet/processes.ts'
import { awaitEnd } from './run-end.ts'
import { type Active, facts, layersOf, type Wish } from './run-facts.ts'
import { recordRunFailure } from './run-events.ts'
import { describeEnd, outcome } from './run-words.ts'
import type { CronJob } from '../store/cron.ts'
import type { Run, RunEnd, RunStatus } from '../store/runs.ts'

type Entry = Active & { stopping: AbortController; finish: () => void }

/**
 * The one-offs of all apps, beside the fleet, which knows formations alone. Those attached end with
 * their connection; detached ones belong to a monitor of their own, outlive the daemon and are
 * found again by `readmit`. Every end is in the store and in the app's log.
 */
export class Runs {
  readonly #daemon: Pick<Daemon, 'config' | 'host' | 'fleet' | 'store' | 'journal'>
  readonly #active = new Map<string, Entry>()
  readonly #lastNumbers = new Map<string, number>()
  readonly #closing = new AbortController()

  constructor(daemon: Pick<Daemon, 'config' | 'host' | 'fleet' | 'store' | 'journal'>) {
    this.#daemon = daemon
    setMaxListeners(0, this.#closing.signal)
  }

  /** Leaves everything that is detached running. */
  close(): void {
    this.#closing.abort()
  }

  all(): Active[] {
    return [...this.#active.values()]
  }

  of(app: string): Active[] {
    return this.all().filter((run) => run.app === app)
  }

  /** Takes over what a previous daemon left running, or what ended while there was none. */
  readmit(known: { id: string; address: string }[]): void {
    for (const run of this.#daemon.store.runsRunning()) {
      const instance = known.find(({ id }) => id === run.id)
      if (!instance) {
        const at = new Date().toISOString()
        const detail = 'the machine or paas stopped under it'
        this.#end(run, { status: 'lost', code: null, detail, output: '', finishedAt: at })
        continue
      }
      const jobId = this.#jobId(run)
      const entry = this.#enter({ ...run, detached: true, jobId })
      this.#watch(entry, this.#daemon.fleet.reserve(instance.address))
    }
  }

  /** Counts `work` among the runs while it goes on; `stop` aborts the signal it is given. */
  async attached(
    release: Release,
    wish: Wish,
    work: (
      place: { id: string; address: string; process: string },
      stop: AbortSignal,
    ) => Promise<Exit>,
  ): Promise<Exit> {
    using placed = this.#daemon.fleet.place()
    const process = this.#nextName(release.app)
    const entry = this.#enter({
      ...facts(release, wish, { id: placed.id, process, layers: layersOf(release) }),
      detached: false,
      jobId: null,
    })
    try {
      const place = { id: placed.id, address: placed.address, process }
      const exit = await work(place, entry.stopping.signal)
      this.#noteFailure(entry, exit)
      return exit
    } finally {
      this.#leave(entry)
    }
  }

  /** Of one whose client is told in any case, though a full disk keep it from the events. */
  #noteFailure(run: Active, exit: Exit): void {
    const { store } = this.#daemon
    try {
      const owner = store.findApp(run.app)
      if (owner) recordRunFailure(store, owner, { ...run, ...outcome(exit) })
    } catch (error) {
      logError('run-unrecorded', error, { app: run.app, process: run.process })
    }
  }

  /** Starts a container that nobody waits for; resolves when it runs. */
  async start(app: App, release: Release, wish: Wish, job: CronJob | null, signal: AbortSignal) {
    const { config, host, fleet, store } = this.#daemon
    this.#refuseTooMany(app.name)
    using undo = new DisposableStack()
    const place = undo.use(fleet.place())
    const process = job ? `cron.${job.number}` : this.#nextName(app.name)
    const run = facts(release, wish, { id: place.id, process, layers: layersOf(release) })
    const entry = this.#enter({ ...run, detached: true, jobId: job?.id ?? null })
    undo.defer(() => this.#leave(entry))
    await this.note(app, job, { ...run, status: 'running', finishedAt: null })
    const spec = instanceSpec(release, process, place, lookedUp(release.image, wish.argv))
    const mounts = storageMounts(config, release)
    try {
      const started = AbortSignal.any([signal, this.#closing.signal])
      const env = { ...spec.env, ...wish.env }
      await startInstance(host, { ...spec, kind: 'run', env, mounts }, started)
    } catch (error) {
      const detail = error instanceof Failure ? error.message : 'internal error'
      const finishedAt = new Date().toISOString()
      const end = { status: 'failed', code: null, detail, output: '', finishedAt } as const
      recordRunFailure(store, app, { ...run, ...end })
      store.endRun(run.id, end)
      throw error
    }
    undo.move()
    this.#watch(entry, place)
    return entry
  }

  /** Writes a run to the history: one that begins, or one that never will. */
  async note(
    app: App,
    job: CronJob | null,
    run: ReturnType<typeof facts> & {
      status: RunStatus
      detail?: string
      finishedAt: string | null
    },
  ): Promise<void> {
    const { store, config } = this.#daemon
    const row = { code: null, detail: null, output: '', ...run }
    recordRunFailure(store, app, row)
    const forgotten = store.createRun(app, job?.id ?? null, row)
    for (const id of forgotten) await forgetLog(paths(config).logs(app.name), id)
  }

  /** Ends every run of an app; resolves when nothing of them is left. */
  async stopAll(app: string): Promise<void> {
    const going = this.of(app)
    for (const run of going) run.stop(`${app} is being destroyed`)
    await Promise.all(going.map(({ ended }) => ended))
    await this.#daemon.journal.settled(app)
  }

  /** What runs of one app is of another name from here on. */
  rename(from: string, to: string): void {
    for (const run of this.of(from)) run.app = to
    const last = this.#lastNumbers.get(from)
    this.#lastNumbers.delete(from)
    if (last !== undefined) this.#lastNumbers.set(to, last)
  }

  #refuseTooMany(app: string): void {
    const detached = this.all().filter((run) => run.detached)
    const ofApp = detached.filter((run) => run.app === app).length
    const [count, most, whose] =
      ofApp >= limits.detachedRunsPerApp
        ? [ofApp, limits.detachedRunsPerApp, app]
        : [detached.length, limits.detachedRuns, 'this server']
    if (count < most) return
    throw new Failure('temporary', `${whose} has ${count} detached runs; the most is ${most}`, {
      hint: `See run:list ${app}, and run:stop ${app} run.N`,
    })
  }

  #nextName(app: string): string {
    const { store } = this.#daemon
    const found = store.findApp(app)
    const last = this.#lastNumbers.get(app) ?? (found ? store.lastRunNumber(found) : 0)
    this.#lastNumbers.set(app, last + 1)
    return `run.${last + 1}`
  }

  #jobId(run: Run): number | null {
    const { store } = this.#daemon
    const app = store.findApp(run.app)
    return app && run.job !== null ? (store.findCronJob(app, run.job)?.id ?? null) : null
  }

  #enter(run: Omit<Active, 'stop' | 'ended'>): Entry {
    const stopping = new AbortController()
    const { promise: ended, resolve: finish } = Promise.withResolvers<void>()
    const stop = (reason: string) => stopping.abort(new Failure('failed', reason))
    const entry: Entry = { ...run, stopping, stop, ended, finish }
    this.#active.set(entry.id, entry)
    return entry
  }

  #leave(entry: Entry): void {
    this.#active.delete(entry.id)
    entry.finish()
  }

  #watch(entry: Entry, place: Disposable): void {
    this.#see(entry)
      .catch((error) => logError('run-failed', error, { app: entry.app, id: entry.id }))
      .finally(() => {
        place[Symbol.dispose]()
        this.#leave(entry)
      })
  }

  async #see(entry: Entry): Promise<void> {
    const { host } = this.#daemon
    const { signal: stop } = entry.stopping
    const end = await awaitEnd(host, entry, { stop, closing: this.#closing.signal })
    if (!end) return
    this.#end(entry, end)
    await removeInstance(host, entry.id)
  }

  #end(run: Omit<Active, 'stop' | 'ended' | 'detached' | 'jobId'>, end: RunEnd): void {
    const { store, journal } = this.#daemon
    const { app, process, release, id } = run
    const owner = store.findApp(app)
    const mask = maskerOf(owner ? store.effectiveConfig(owner) : {})
    if (owner) recordRunFailure(store, owner, { ...run, ...end })
    store.endRun(run.id, { ...end, output: end.output.split('\n').map(mask).join('\n') })
    const text = describeEnd({ ...run, ...end })
    log('run-ended', { app, process, text })
    journal.write(app, { process, release, id }, `=====> ${process} ${text}`)
  }
}
