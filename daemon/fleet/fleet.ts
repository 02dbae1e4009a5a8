import { setTimeout as delay } from 'node:timers/promises'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { log, logError } from '../../core/log.ts'
import { newId } from '../../core/names.ts'
import type { Exit, Instance, Limits, Release, Say } from '../../core/types.ts'
import { nextAddress } from '../../runner/address.ts'
import { readExit, waitForExit } from '../../runner/exits.ts'
import { drained, endedSince, waitUntilReady } from '../../runner/health.ts'
import type { Host } from '../../runner/host.ts'
import { mark } from '../../runner/marks.ts'
import { type Seen, vitalSigns, watchExits } from '../../runner/observe.ts'
import { startInstance } from '../../runner/start.ts'
import { removeInstance, stopInstance } from '../../runner/stop.ts'
import { modeOf, readinessOf, type Timing, timingOf } from './checks.ts'
import { changeLimits, isPaused, pauseInstance, resumeInstance } from '../../runner/update.ts'
import { instanceSpec, processType } from './processes.ts'
import { storageMounts } from '../disk/storage.ts'
import type { CheckSettings } from '../store/nouns.ts'

/**
 * `starting`: a deploy holds it and nobody else may judge it. `unwatched`: it serves, but its
 * monitor was killed and it is to be replaced. `retiring`: it drains and stops.
 */
export type Member = Instance & { state: 'starting' | 'live' | 'unwatched' | 'retiring' }

/** Who is told what; `starting` may throw, which stops the start. */
export type FleetEvents = {
  starting: (release: Release, process: string, signal: AbortSignal) => Promise<void>
  /** It serves from now on, or did before this daemon. */
  live: (member: Member) => void
  /** It serves no more: it has died, or begins to drain and stop. */
  leaving: (member: Member) => void
  /** These are about to drain: no new request is to reach them when it resolves. */
  draining: (app: string) => Promise<void>
  stopped: (member: Member) => void
  /** A live container can no longer report its end: it wants replacing. */
  unwatched: (member: Member) => void
  /** A container of the live set ended by itself. */
  died: (member: Member, exit: Exit) => void
  /** One that was to serve ended, or failed its check, before it did. */
  unready: (member: Member, seen: { exit: Exit | undefined; failed: string }) => Promise<void>
}

/** What a container gets before it exists; disposing of it gives the address back. */
export type Place = { id: string; address: string } & Disposable

const neverServedGraceMs = 1000
const goneLookMs = 25
const goneTimeoutMs = 30_000

/**
 * Every container of this instance, as one list in memory that mirrors what the kernel runs. It is
 * read anew from the kernel at boot, so that nothing here needs to survive the daemon.
 */
export class Fleet {
  readonly #host: Host
  readonly #config: PaasConfig
  readonly #events: FleetEvents
  readonly #checks: (app: string) => CheckSettings
  readonly #members = new Map<string, Member>()
  readonly #reserved = new Set<string>()
  /** The members whose end somebody sees to. */
  readonly #ending = new Set<Member>()
  readonly #watcher: Disposable
  #lastAddress: string | undefined

  /** `checks` looks up what an app has set for itself. */
  constructor(
    host: Host,
    config: PaasConfig,
    events: FleetEvents,
    checks: (app: string) => CheckSettings,
  ) {
    this.#checks = checks
    this.#host = host
    this.#config = config
    this.#events = events
    this.#watcher = watchExits(host, (exit) => this.#exited(exit))
  }

  close(): void {
    this.#watcher[Symbol.dispose]()
  }

  all(): Member[] {
    return [...this.#members.values()]
  }

  of(app: string): Member[] {
    return this.all().filter((member) => member.app === app)
  }

  /**
   * Takes in the processes that outlived a previous daemon and had been ready, the newest first.
   * What that one was stopping is stopped: it must not be the twin that is kept.
   */
  readmit(known: Seen[]): Member[] {
    this.#lastAddress = known[0]?.address
    for (const { alive, ready, leaving, ...instance } of known) {
      if (!alive || !ready || instance.kind === 'run') continue
      const member: Member = { ...instance, state: 'live' }
      this.#members.set(member.id, member)
      if (leaving) this.#stopAgain(member)
      else this.#events.live(member)
    }
    return this.all()
  }

  #stopAgain(member: Member): void {
    const { app, process } = member
    const stopped = this.stop([member], this.timing(app).graceMs)
    stopped.catch((error) => logError('stop-failed', error, { app, process }))
  }

  /** An id, and an address that nobody has and nobody had a moment ago. */
  place(): Place {
    const used = new Set([...this.#reserved, ...this.all().map(({ address }) => address)])
    const address = nextAddress(this.#config.subnet, used, this.#lastAddress)
    this.#lastAddress = address
    return { id: newId(), address, ...this.reserve(address) }
  }

  /** Gives the address to nobody else until the returned value is disposed of. */
  reserve(address: string): Disposable {
    this.#reserved.add(address)
    return { [Symbol.dispose]: () => void this.#reserved.delete(address) }
  }

  async start(release: Release, process: string, signal: AbortSignal): Promise<Member> {
    await this.#events.starting(release, process, signal)
    using place = this.place()
    const spec = {
      ...instanceSpec(release, process, place),
      mounts: storageMounts(this.#config, release),
    }
    const instance = await startInstance(this.#host, spec, signal)
    const member: Member = { ...instance, state: 'starting' }
    this.#members.set(member.id, member)
    return member
  }

  /** How long processes of an app may take. */
  timing(app: string): Timing {
    return timingOf(this.#config, this.#checks(app))
  }

  /** Waits until a process passes its checks; throws the Failure that says why it does not. */
  async ready(release: Release, member: Instance, say: Say, signal: AbortSignal): Promise<void> {
    const type = processType(member.process)
    const mode = modeOf(this.#checks(member.app), type)
    const timeoutMs = this.timing(member.app).readyMs
    try {
      for (const check of readinessOf(release.image, type, mode)) {
        await waitUntilReady(this.#host, member, check, { timeoutMs, signal, warn: say })
      }
      mark(this.#host, member.id, 'ready')
    } catch (error) {
      if (error instanceof Failure && !signal.aborted) await this.#unready(member, error.message)
      throw error
    }
  }

  /** Tells of it while the container is there to be asked, unless somebody is stopping it. */
  async #unready({ id }: Instance, failed: string): Promise<void> {
    const member = this.#members.get(id)
    if (member?.state !== 'starting') return
    await this.#events.unready(member, { exit: readExit(this.#host, id), failed })
  }

  /** Changes what a running container may use; throws when the kernel does not take it. */
  changeLimits(member: Member, limits: Limits): Promise<void> {
    return changeLimits(this.#host, member.id, limits)
  }

  pause(member: Member): Promise<void> {
    return pauseInstance(this.#host, member.id)
  }

  resume(member: Member): Promise<void> {
    return resumeInstance(this.#host, member.id)
  }

  isPaused(member: Member): boolean {
    return isPaused(this.#host, member.id)
  }

  /** Throws a Failure for one that was ready and has ended since, which nobody else would see. */
  async refuseEnded(member: Instance): Promise<void> {
    const exit = readExit(this.#host, member.id)
    if (!exit) return
    const failure = await endedSince(this.#host, member, exit)
    await this.#unready(member, failure.message)
    throw failure
  }

  /** Marks containers as serving: from now on a death of theirs is repaired. */
  adopt(instances: Instance[]): void {
    for (const { id } of instances) {
      const member = this.#members.get(id)
      if (member?.state !== 'starting') continue
      member.state = 'live'
      this.#events.live(member)
      this.#lookAtExit(id)
    }
  }

  /** It may have ended a moment ago, when that was nobody's business yet. */
  #lookAtExit(id: string): void {
    try {
      const exit = readExit(this.#host, id)
      if (exit) this.#exited(exit)
    } catch (error) {
      logError('exit-unread', error, { id })
    }
  }

  /** Stops at once what never served a request, or with `graceMs` what may have work to finish. */
  async stop(instances: Instance[], graceMs = neverServedGraceMs): Promise<void> {
    const members = instances.flatMap(({ id }) => this.#members.get(id) ?? [])
    await Promise.all(members.map((member) => this.#end(member, () => this.#stop(member, graceMs))))
  }

  /**
   * Leads the router away from these, lets their open requests finish, then stops them; resolves
   * when they are gone. They are of one app.
   */
  async retire(members: Member[]): Promise<void> {
    const [one] = members
    if (!one) return
    for (const member of members) this.#leave(member)
    const draining = this.#events.draining(one.app).catch((error) => {
      logError('unroute-failed', error, { app: one.app }) // they go all the same
    })
    const end = async (member: Member): Promise<void> => {
      await draining
      const { drainMs, graceMs } = this.timing(member.app)
      if (processType(member.process) === 'web') {
        await drained(member, drainMs)
      }
      await this.#stop(member, graceMs)
    }
    await Promise.all(members.map((member) => this.#end(member, () => end(member))))
  }

  async #stop(member: Member, graceMs: number): Promise<void> {
    await stopInstance(this.#host, member.id, { graceMs })
    this.#members.delete(member.id)
    this.#events.stopped(member)
  }

  /** Ends a member by `work`. One that is left by a failure of it is found by the next check. */
  async #end(member: Member, work: () => Promise<void>): Promise<void> {
    this.#leave(member)
    this.#ending.add(member)
    await work().finally(() => this.#ending.delete(member))
  }

  /** Resolves when none of these is left, whoever stops them. */
  async gone(members: Member[]): Promise<void> {
    const here = () => members.filter(({ id }) => this.#members.has(id))
    const longest = members.map(({ app }) => this.timing(app)).map((t) => t.drainMs + t.graceMs)
    const deadline = performance.now() + Math.max(0, ...longest) + goneTimeoutMs
    while (here().length > 0) {
      if (performance.now() > deadline) {
        const names = here().map(({ process }) => process)
        throw new Failure('failed', `The old ${names.join(', ')} did not stop`)
      }
      await delay(goneLookMs)
    }
  }

  /** From here on the containers of one app are those of another name. */
  rename(from: string, to: string): void {
    for (const member of this.of(from)) member.app = to
  }

  #leave(member: Member): void {
    member.state = 'retiring'
    this.#events.leaving(member)
  }

  /**
   * Finds what nobody reports, because a container's monitor was killed, and tries again to end
   * what could not be ended.
   */
  async check(): Promise<void> {
    for (const member of this.all()) {
      if (member.state !== 'retiring' || this.#ending.has(member)) continue
      this.stop([member]).catch((error) => logError('stop-failed', error, { id: member.id }))
    }
    for (const member of this.all().filter(({ state }) => state === 'live')) {
      const signs = vitalSigns(this.#host, member.id)
      if (signs === 'alive' || member.state !== 'live') continue
      log('monitor-lost', { app: member.app, process: member.process, container: signs })
      if (signs === 'unwatched') {
        member.state = 'unwatched'
        this.#events.unwatched(member)
      } else {
        const exit = await waitForExit(this.#host, member.id, { timeoutMs: 1000 })
        if (exit) this.#exited(exit)
      }
    }
  }

  /** A container ended. One that starts or retires is watched by whoever starts or stops it. */
  #exited(exit: Exit): void {
    const member = this.#members.get(exit.id)
    if (member?.state !== 'live' && member?.state !== 'unwatched') return
    log('process-died', { app: member.app, process: member.process, code: exit.code })
    const remove = async (): Promise<void> => {
      await removeInstance(this.#host, exit.id)
      this.#members.delete(exit.id)
    }
    this.#end(member, remove)
      .catch((error) => logError('remove-failed', error, { id: exit.id }))
      .finally(() => this.#events.died(member, exit))
  }
}
