import { Failure } from '../core/errors.ts'
import { log, logError } from '../core/log.ts'
import { forEachAtOnce } from '../core/parallel.ts'
import type { App, Exit, Release } from '../core/types.ts'
import { BackOff } from './fleet/back-off.ts'
import type { Daemon } from './daemon.ts'
import { recordDeath } from './fleet/deaths.ts'
import type { Member } from './fleet/fleet.ts'
import { modeOf, stopsFirst } from './fleet/checks.ts'
import { processType, wantedProcesses } from './fleet/processes.ts'
import { forgetOldNames } from './apps/rename-files.ts'

const tickMs = 30_000
const trimMs = 5000
const fleetMs = 2000
const routerMs = 500
const steadyMs = 10_000
const appsAtOnce = 4
const leavingLookMs = 250

/**
 * Compares what each app should run with what the fleet shows, and converges: at boot, after every
 * death of a container, and on a slow tick. Crashes, reboots and upgrades all end here.
 */
export class Reconcile {
  readonly #daemon: Daemon
  readonly #backOff = new BackOff()
  readonly #running = new Map<string, Promise<void>>()
  readonly #again = new Set<string>()
  readonly #held = new Map<string, ReadonlySet<string>>()
  readonly #closing = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #ticks: NodeJS.Timeout[]

  constructor(daemon: Daemon) {
    this.#daemon = daemon
    this.#ticks = [
      every(routerMs, 'router-failed', daemon.watchRouter),
      every(fleetMs, 'fleet-failed', daemon.watchFleet),
      every(tickMs, 'tick-failed', daemon.tick),
      every(trimMs, 'trim-failed', daemon.trimLogs),
    ]
  }

  close(): void {
    this.#closing.abort(new Failure('temporary', 'paas is shutting down'))
    for (const tick of this.#ticks) clearInterval(tick)
    for (const timer of this.#timers) clearTimeout(timer)
  }

  async all(): Promise<void> {
    const { store, fleet } = this.#daemon
    const names = [...store.apps().map(({ name }) => name), ...fleet.all().map(({ app }) => app)]
    await forEachAtOnce([...new Set(names)].sort(), appsAtOnce, async (name) => {
      if (!this.#closing.signal.aborted) await this.app(name)
    })
  }

  /** Converges one app; calls that come while it works are answered by one more round. */
  async app(name: string): Promise<void> {
    const busy = this.#running.get(name)
    if (busy) {
      this.#again.add(name)
      return busy
    }
    const work = this.#rounds(name).finally(() => this.#running.delete(name))
    this.#running.set(name, work)
    await work
  }

  /** A container of a committed release ended by itself. */
  died(member: Member, exit: Exit): void {
    const { app, process } = member
    if (Date.now() - member.startedAt > steadyMs) this.#backOff.forgive(app, process)
    if (this.#daemon.store.currentRelease(app)?.version !== member.release) return
    this.#stumble(app, process, exit.oom ? 'out of memory' : `exit code ${exit.code}`)
    void recordDeath(this.#daemon, member, { exit })
    this.#daemon.triggers
      .fire('process-died', { app, args: [process, String(exit.code)] }, () => {})
      .catch((error) => logError('trigger-failed', error, { app }))
    void this.app(app)
  }

  /** A process of the live set runs and is not well: it is stopped, and another one started. */
  unwell(member: Member, reason: string, lastWellAt: number): void {
    const { app, process, state } = member
    if (state !== 'live') return
    const { fleet } = this.#daemon
    if (lastWellAt - member.startedAt > steadyMs) this.#backOff.forgive(app, process)
    const stopped = fleet.stop([member], fleet.timing(app).graceMs)
    stopped.catch((error) => logError('stop-failed', error, { app, process }))
    this.#stumble(app, process, reason)
    void recordDeath(this.#daemon, member, {
      failed: reason.replace(/^liveness check failed/, 'liveness,'),
    })
    void this.app(app)
  }

  /** Starts no process of these types until the result is disposed of: a change will. */
  hold(app: string, types: ReadonlySet<string>): Disposable {
    this.#held.set(app, types)
    return { [Symbol.dispose]: () => void this.#held.delete(app) }
  }

  /** Why a process that should run does not, for `ps`. */
  troubleOf(app: string, process: string): string | undefined {
    const trouble = this.#backOff.trouble(app, process)
    if (!trouble) return undefined
    const times = trouble.deaths > 1 ? `, ${trouble.deaths} times in a row` : ''
    const seconds = Math.ceil(trouble.remainingMs / 1000)
    return `down: ${trouble.reason}${times}${seconds > 0 ? `; next try in ${seconds} s` : ''}`
  }

  /** A change replaced everything: old troubles say nothing about the new processes. */
  forget(app: string): void {
    this.#backOff.forgive(app)
  }

  async #rounds(name: string): Promise<void> {
    do {
      this.#again.delete(name)
      await this.#converge(name).catch((error) =>
        logError('reconcile-failed', error, { app: name }),
      )
    } while (this.#again.has(name) && !this.#closing.signal.aborted)
  }

  async #converge(name: string): Promise<void> {
    const { store, fleet, routes } = this.#daemon
    const app = store.findApp(name)
    if (!app) return this.#retireAll(name)
    const release = store.currentRelease(name)
    const wanted = release ? wantedProcesses(release) : []
    await routes.pointAtCurrent(app)
    if (wanted.length === 0 && fleet.of(name).length === 0) return
    const missing = wanted
      .filter((process) => !isServed(fleet.of(name), release, process))
      .filter((process) => !this.#isHeld(name, process))
    if (release) await Promise.all(missing.map((one) => this.#startMissing(app, release, one)))
    // Only now: what is to go may be all that serves while its replacement starts.
    const surplus = surplusOf(fleet.of(name), store.currentRelease(name), wanted)
    if (surplus.length === 0) return
    for (const member of surplus) member.state = 'retiring'
    await routes.pointAtCurrent(app) // no new request reaches them from here on
    fleet.retire(surplus).catch((error) => logError('retire-failed', error, { app: name }))
  }

  /** Of an app that was destroyed, or has another name, and whose daemon was killed over it. */
  #retireAll(name: string): void {
    const { fleet, renames } = this.#daemon
    if (renames.has(name)) return
    const serving = fleet.of(name).filter(({ state }) => state === 'live' || state === 'unwatched')
    if (serving.length === 0) return
    fleet
      .retire(serving)
      .then(() => forgetOldNames(this.#daemon))
      .catch((error) => logError('retire-failed', error, { app: name }))
  }

  /** Starts one process that should run and does not, unless it died too often just now. */
  async #startMissing(app: App, release: Release, process: string): Promise<void> {
    const { fleet, routes } = this.#daemon
    const { signal } = this.#closing
    const waitMs = this.#backOff.remaining(app.name, process)
    if (waitMs > 0) return this.#later(app.name, waitMs)
    const old = mustGoFirst(this.#daemon, release, process)
    if (old.length > 0) {
      const serving = old.filter(({ state }) => state !== 'retiring')
      fleet.retire(serving).catch((error) => logError('retire-failed', error, { app: app.name }))
      return this.#later(app.name, leavingLookMs)
    }
    try {
      await using undo = new AsyncDisposableStack()
      const member = await fleet.start(release, process, signal)
      undo.defer(() => fleet.stop([member]))
      await fleet.ready(release, member, () => {}, signal)
      if (this.#isHeld(app.name, process)) return
      if (!isStillMissing(this.#daemon, app, release, process)) return
      fleet.adopt([member])
      undo.move()
      await routes.pointAtCurrent(app)
      this.#note(app.name, `${process} is up (v${release.version})`)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof Failure)) logError('start-failed', error, { app: app.name, process })
      this.#stumble(app.name, process, error instanceof Failure ? error.message : 'internal error')
    }
  }

  #isHeld(app: string, process: string): boolean {
    return this.#held.get(app)?.has(processType(process)) ?? false
  }

  #stumble(app: string, process: string, reason: string): void {
    const delayMs = this.#backOff.stumble(app, process, reason)
    this.#note(app, `${process} is down (${reason}); next try in ${delayMs / 1000} s`)
    this.#later(app, delayMs)
  }

  #later(app: string, delayMs: number): void {
    if (this.#closing.signal.aborted) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.app(app)
    }, delayMs)
    this.#timers.add(timer)
  }

  #note(app: string, text: string): void {
    log('reconcile', { app, text })
    const release = this.#daemon.store.currentRelease(app)?.version ?? 0
    this.#daemon.journal.write(app, { process: 'paas', release }, text)
  }
}

/** Repeats `work`; a round that is still at work when the next is due is waited for. */
function every(ms: number, event: string, work: () => Promise<void>): NodeJS.Timeout {
  let busy = false
  return setInterval(() => {
    if (busy) return
    busy = true
    work()
      .catch((error) => logError(event, error))
      .finally(() => {
        busy = false
      })
  }, ms)
}

/** Whether a process of the release runs as it should. */
function isServed(members: Member[], release: Release | undefined, process: string): boolean {
  return members.some(
    (one) => one.state === 'live' && one.process === process && one.release === release?.version,
  )
}

/** What nothing wants: other releases, other processes, twins, and those whose stand-in serves. */
function surplusOf(members: Member[], release: Release | undefined, wanted: string[]): Member[] {
  const seen = new Set<string>()
  return members.filter((member) => {
    if (member.state === 'starting' || member.state === 'retiring') return false
    if (member.state === 'unwatched') return isServed(members, release, member.process)
    const good = member.release === release?.version && wanted.includes(member.process)
    const first = !seen.has(member.process)
    if (good) seen.add(member.process)
    return !good || !first
  })
}

/** The processes that an exclusive one may not run beside: those of its type that are to go. */
function mustGoFirst({ store, fleet }: Daemon, release: Release, process: string): Member[] {
  const type = processType(process)
  if (!stopsFirst(release.image, type, modeOf(store.checks(release.app), type))) return []
  return fleet
    .of(release.app)
    .filter((one) => processType(one.process) === type && one.state !== 'starting')
    .filter((one) => one.state !== 'live' || one.release !== release.version)
}

/** A deploy may have passed by while the process started. */
function isStillMissing(daemon: Daemon, app: App, release: Release, process: string): boolean {
  const { store, fleet } = daemon
  if (store.currentRelease(app.name)?.id !== release.id) return false
  return !isServed(fleet.of(app.name), release, process)
}
