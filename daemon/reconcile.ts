import { Failure } from '../core/errors.ts'
import { log, logError } from '../core/log.ts'
import type { App, Exit, Release } from '../core/types.ts'
import { BackOff } from './back-off.ts'
import type { Daemon } from './daemon.ts'
import type { Member } from './fleet.ts'
import { wantedProcesses } from './processes.ts'

const tickMs = 30_000
const trimMs = 5000
const steadyMs = 10_000
const appsAtOnce = 4

/**
 * Compares what each app should run with what the fleet shows, and converges: at boot, after every
 * death of a container, and on a slow tick. Crashes, reboots and upgrades all end here.
 */
export class Reconcile {
  readonly #daemon: Daemon
  readonly #backOff = new BackOff()
  readonly #running = new Map<string, Promise<void>>()
  readonly #again = new Set<string>()
  readonly #closing = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #ticks: NodeJS.Timeout[]

  constructor(daemon: Daemon) {
    this.#daemon = daemon
    this.#ticks = [
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
    const names = this.#daemon.store.apps().map(({ name }) => name)
    const worker = async (): Promise<void> => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        if (this.#closing.signal.aborted) return
        await this.app(name)
      }
    }
    await Promise.all(Array.from({ length: appsAtOnce }, worker))
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
    this.#daemon.triggers
      .fire('process-died', { app, args: [process, String(exit.code)] }, () => {})
      .catch((error) => logError('trigger-failed', error, { app }))
    void this.app(app)
  }

  /** Why a process that should run does not, for `ps`. */
  troubleOf(app: string, process: string): string | undefined {
    const reason = this.#backOff.reason(app, process)
    return reason && `down: ${reason}`
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
    if (!app) return
    const release = store.currentRelease(name)
    const wanted = release ? wantedProcesses(release) : []
    const { stay, surplus } = sort(fleet.of(name), release, wanted)
    fleet.retire(surplus).catch((error) => logError('retire-failed', error, { app: name }))
    await routes.pointAtCurrent(app)
    if (!release) return
    const missing = wanted.filter((process) => !stay.some((one) => one.process === process))
    await Promise.all(missing.map((process) => this.#startMissing(app, release, process)))
  }

  /** Starts one process that should run and does not, unless it died too often just now. */
  async #startMissing(app: App, release: Release, process: string): Promise<void> {
    const { fleet, routes } = this.#daemon
    const { signal } = this.#closing
    const waitMs = this.#backOff.remaining(app.name, process)
    if (waitMs > 0) return this.#later(app.name, waitMs)
    try {
      await using undo = new AsyncDisposableStack()
      const member = await fleet.start(release, process, signal)
      undo.defer(() => fleet.stop([member]))
      await fleet.ready(member, () => {}, signal)
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

/** Of the live containers, those that the release wants, once each, and the others. */
function sort(members: Member[], release: Release | undefined, wanted: string[]) {
  const stay: Member[] = []
  const surplus: Member[] = []
  for (const member of members.filter(({ state }) => state === 'live')) {
    const good = member.release === release?.version && wanted.includes(member.process)
    const twin = stay.some(({ process }) => process === member.process)
    ;(good && !twin ? stay : surplus).push(member)
  }
  return { stay, surplus }
}

/** A deploy may have passed by while the process started. */
function isStillMissing(daemon: Daemon, app: App, release: Release, process: string): boolean {
  const { store, fleet } = daemon
  if (store.currentRelease(app.name)?.id !== release.id) return false
  const same = (one: Member) => one.process === process && one.release === release.version
  return !fleet.of(app.name).some((one) => one.state === 'live' && same(one))
}
