import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../core/errors.ts'
import { log, logError } from '../core/log.ts'
import { forEachAtOnce } from '../core/parallel.ts'
import type { Exit, Release } from '../core/types.ts'
import { BackOff } from './fleet/back-off.ts'
import type { Daemon } from './daemon.ts'
import { recordDeath } from './fleet/deaths.ts'
import { differences } from './fleet/differences.ts'
import type { Member } from './fleet/fleet.ts'
import { modeOf, stopsFirst } from './fleet/checks.ts'
import { processType } from './fleet/processes.ts'
import { forgetOldNames } from './apps/rename-files.ts'

const steadyMs = 10_000
const appsAtOnce = 4
const paceMs = 5000
const retryMs = 1000

/** A process that is being started; `done` resolves when it has been, or is given up. */
type Start = { release: Release; process: string; giveUp: AbortController; done: Promise<void> }

/**
 * Compares what each app should run with what the fleet shows, and converges: at boot, after every
 * change, every death and every end of a container, and on a slow tick. Nothing that it begins is
 * waited for: it decides by what is so at that moment, and what it began asks for the next look.
 */
export class Reconcile {
  readonly #daemon: Daemon
  readonly #backOff = new BackOff()
  readonly #running = new Map<string, Promise<void>>()
  readonly #again = new Set<string>()
  readonly #starts = new Map<string, Start>()
  readonly #held = new Map<string, ReadonlySet<string>>()
  readonly #alarms = new Map<string, { at: number; timer: NodeJS.Timeout }>()
  readonly #closing = new AbortController()

  constructor(daemon: Daemon) {
    this.#daemon = daemon
  }

  close(): void {
    this.#closing.abort(new Failure('temporary', 'paas is shutting down'))
    for (const { timer } of this.#alarms.values()) clearTimeout(timer)
  }

  /**
   * Converges every app. A host that has just booted has them all to start: the next ones wait for
   * those before them, but not for long, for some may never be ready.
   */
  all(): Promise<void> {
    const everyApp = '*' // no app is called so
    return this.#inRounds(everyApp, async () => {
      const { store, fleet } = this.#daemon
      const names = [...store.apps().map(({ name }) => name), ...fleet.all().map(({ app }) => app)]
      await forEachAtOnce([...new Set(names)].sort(), appsAtOnce, async (name) => {
        const waiting = new AbortController()
        const pace = delay(paceMs, undefined, { signal: waiting.signal }).catch(() => {})
        await Promise.race([this.settle(name), pace])
        waiting.abort()
      })
    })
  }

  /** Converges one app: what is missing is being started, what is too much has begun to leave. */
  app(name: string): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.resolve()
    try {
      this.#startMissing(name) // at once: a round may wait for a router that does not answer
    } catch (error) {
      logError('reconcile-failed', error, { app: name })
    }
    return this.#inRounds(name, () => this.#retireSurplus(name))
  }

  /** Converges one app, and resolves when what was started for it is up, or has failed to be. */
  async settle(name: string): Promise<void> {
    await this.app(name)
    await Promise.all(this.#startsOf(name).map(({ done }) => done))
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

  /**
   * Starts no process of these types until the result is disposed of: a change will. When it
   * resolves none is being started any more.
   */
  async hold(app: string, types: ReadonlySet<string>): Promise<Disposable> {
    this.#held.set(app, types)
    const vain = this.#startsOf(app).filter(({ process }) => types.has(processType(process)))
    for (const { giveUp } of vain) giveUp.abort()
    await Promise.all(vain.map(({ done }) => done))
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

  /** Does the work; calls that come meanwhile are answered by doing it once more. Never throws. */
  #inRounds(name: string, work: () => Promise<void>): Promise<void> {
    const busy = this.#running.get(name)
    if (busy) {
      this.#again.add(name)
      return busy
    }
    const rounds = async () => {
      do {
        this.#again.delete(name)
        if (this.#closing.signal.aborted) return
        await work().catch((error) => logError('reconcile-failed', error, { app: name }))
      } while (this.#again.has(name))
    }
    const running = rounds().finally(() => this.#running.delete(name))
    this.#running.set(name, running)
    return running
  }

  #startMissing(name: string): void {
    const { store, fleet } = this.#daemon
    for (const start of this.#startsOf(name)) if (!this.#isMissing(start)) start.giveUp.abort()
    const release = store.currentRelease(name)
    if (!release) return
    for (const process of differences(fleet.of(name), release).missing)
      this.#start(release, process)
  }

  async #retireSurplus(name: string): Promise<void> {
    const { store, fleet, routes } = this.#daemon
    const app = store.findApp(name)
    if (!app) return this.#retireAll(name)
    await routes.pointAtCurrent(app).catch((error) => {
      this.#later(name, retryMs) // the router may be away, and will be back
      throw error
    })
    // The router leads to none of them any more.
    void this.#retire(differences(fleet.of(name), store.currentRelease(name)).surplus)
  }

  /** Of an app that was destroyed, or has another name, and whose daemon was killed over it. */
  #retireAll(name: string): void {
    const { fleet, renames } = this.#daemon
    if (renames.has(name)) return
    const retired = this.#retire(differences(fleet.of(name), undefined).surplus)
    retired
      ?.then(() => forgetOldNames(this.#daemon))
      .catch((error) => logError('rename-unfinished', error, { app: name }))
  }

  #retire(members: Member[]): Promise<void> | undefined {
    if (members.length === 0) return undefined
    return this.#daemon.fleet
      .retire(members)
      .catch((error) => logError('retire-failed', error, { app: members[0]?.app ?? '' }))
  }

  /** Starts one process that should run and does not, unless it died too often just now. */
  #start(release: Release, process: string): void {
    const { app } = release
    const key = `${app}/${process}`
    if (this.#starts.has(key) || this.#isHeld(app, process)) return
    const waitMs = this.#backOff.remaining(app, process)
    if (waitMs > 0) return this.#later(app, waitMs)
    const old = mustGoFirst(this.#daemon, release, process)
    if (old.length > 0) {
      // The end of the last of them asks for the next round.
      void this.#retire(old.filter(({ state }) => state !== 'retiring'))
      return
    }
    const giveUp = new AbortController()
    const done = this.#bringUp(release, process, giveUp.signal).finally(async () => {
      this.#starts.delete(key)
      await this.app(app)
    })
    this.#starts.set(key, { release, process, giveUp, done })
  }

  async #bringUp(release: Release, process: string, givenUp: AbortSignal): Promise<void> {
    const { fleet } = this.#daemon
    const { app } = release
    const signal = AbortSignal.any([this.#closing.signal, givenUp])
    try {
      await using undo = new AsyncDisposableStack()
      const member = await fleet.start(release, process, signal)
      undo.defer(() => fleet.stop([member]))
      await fleet.ready(release, member, () => {}, signal)
      if (!this.#isMissing({ release, process })) return // a change passed by meanwhile
      fleet.adopt([member])
      undo.move()
      this.#note(app, `${process} is up (v${release.version})`)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof Failure)) logError('start-failed', error, { app, process })
      this.#stumble(app, process, error instanceof Failure ? error.message : 'internal error')
    }
  }

  /** Whether a process of this very release is still wanted, not there, and ours to start. */
  #isMissing({ release, process }: Pick<Start, 'release' | 'process'>): boolean {
    const { store, fleet } = this.#daemon
    const current = store.currentRelease(release.app)
    if (current?.id !== release.id || this.#isHeld(release.app, process)) return false
    return differences(fleet.of(release.app), current).missing.includes(process)
  }

  #startsOf(app: string): Start[] {
    return [...this.#starts.values()].filter(({ release }) => release.app === app)
  }

  #isHeld(app: string, process: string): boolean {
    return this.#held.get(app)?.has(processType(process)) ?? false
  }

  #stumble(app: string, process: string, reason: string): void {
    const delayMs = this.#backOff.stumble(app, process, reason)
    this.#note(app, `${process} is down (${reason}); next try in ${delayMs / 1000} s`)
  }

  /** One alarm an app, the earliest: the round that it calls for sets the next. */
  #later(name: string, delayMs: number): void {
    const at = Date.now() + delayMs
    const set = this.#alarms.get(name)
    if (this.#closing.signal.aborted || (set && set.at <= at)) return
    clearTimeout(set?.timer)
    const timer = setTimeout(() => {
      this.#alarms.delete(name)
      void this.app(name)
    }, delayMs)
    this.#alarms.set(name, { at, timer })
  }

  #note(app: string, text: string): void {
    log('reconcile', { app, text })
    const release = this.#daemon.store.currentRelease(app)?.version ?? 0
    this.#daemon.journal.write(app, { process: 'paas', release }, text)
  }
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
