import { appPort, type PaasConfig } from '../core/config.ts'
import { log, logError } from '../core/log.ts'
import { newId } from '../core/names.ts'
import type { Exit, Instance, Limits, Release, Say } from '../core/types.ts'
import { nextAddress } from '../runner/address.ts'
import { drained, waitUntilReady } from '../runner/health.ts'
import type { Host } from '../runner/host.ts'
import { listInstances, watchExits } from '../runner/observe.ts'
import { startInstance } from '../runner/start.ts'
import { removeInstance, stopInstance } from '../runner/stop.ts'
import { changeLimits, isPaused, pauseInstance, resumeInstance } from '../runner/update.ts'
import { instanceSpec, processType } from './processes.ts'

/** `starting`: a deploy holds it and nobody else may judge it. `retiring`: it drains and stops. */
export type Member = Instance & { state: 'starting' | 'live' | 'retiring' }

/** Who is told what; `starting` may throw, which stops the start. */
export type FleetEvents = {
  starting: (release: Release, process: string, signal: AbortSignal) => Promise<void>
  stopped: (member: Member) => void
  /** A container of the live set ended by itself. */
  died: (member: Member, exit: Exit) => void
}

/** What a container gets before it exists; disposing of it gives the address back. */
export type Place = { id: string; address: string } & Disposable

const neverServedGraceMs = 1000
const workerUptimeMs = 1000

/**
 * Every container of this instance, as one list in memory that mirrors what the kernel runs. It is
 * read anew from the kernel at boot, so that nothing here needs to survive the daemon.
 */
export class Fleet {
  readonly #host: Host
  readonly #config: PaasConfig
  readonly #events: FleetEvents
  readonly #members = new Map<string, Member>()
  readonly #reserved = new Set<string>()
  readonly #watcher: Disposable
  #lastAddress: string | undefined

  constructor(host: Host, config: PaasConfig, events: FleetEvents) {
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

  /** Takes in the containers that outlived a previous daemon. */
  async readmit(): Promise<Member[]> {
    for (const { alive, ...instance } of await listInstances(this.#host)) {
      if (!alive) continue
      this.#members.set(instance.id, { ...instance, state: 'live' })
    }
    return this.all()
  }

  /** An id, and an address that nobody has and nobody had a moment ago. */
  place(): Place {
    const used = new Set([...this.#reserved, ...this.all().map(({ address }) => address)])
    const address = nextAddress(this.#config.subnet, used, this.#lastAddress)
    this.#lastAddress = address
    this.#reserved.add(address)
    const release = () => void this.#reserved.delete(address)
    return { id: newId(), address, [Symbol.dispose]: release }
  }

  async start(release: Release, process: string, signal: AbortSignal): Promise<Member> {
    await this.#events.starting(release, process, signal)
    using place = this.place()
    const spec = instanceSpec(release, process, place)
    const instance = await startInstance(this.#host, spec, signal)
    const member: Member = { ...instance, state: 'starting' }
    this.#members.set(member.id, member)
    return member
  }

  /** Web must accept on its port, anything else must stay up for a second. */
  async ready(member: Instance, say: Say, signal: AbortSignal): Promise<void> {
    const isWeb = processType(member.process) === 'web'
    const check = isWeb ? { port: appPort } : { uptimeMs: workerUptimeMs }
    const timeoutMs = this.#config.readyTimeoutMs
    await waitUntilReady(this.#host, member, check, { timeoutMs, signal, warn: say })
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

  /** Marks containers as serving: from now on a death of theirs is repaired. */
  adopt(instances: Instance[]): void {
    for (const { id } of instances) {
      const member = this.#members.get(id)
      if (member?.state === 'starting') member.state = 'live'
    }
  }

  /** Stops at once what never served a request, or with `graceMs` what may have work to finish. */
  async stop(instances: Instance[], graceMs = neverServedGraceMs): Promise<void> {
    await Promise.all(
      instances.map(async ({ id }) => {
        const member = this.#members.get(id)
        if (member) member.state = 'retiring'
        await stopInstance(this.#host, id, { graceMs })
        this.#members.delete(id)
        if (member) this.#events.stopped(member)
      }),
    )
  }

  /** Lets the open requests of these finish, then stops them; resolves when they are gone. */
  async retire(members: Member[]): Promise<void> {
    await Promise.all(
      members.map(async (member) => {
        member.state = 'retiring'
        if (processType(member.process) === 'web') {
          await drained(this.#host, member, { timeoutMs: this.#config.drainTimeoutMs })
        }
        await this.stop([member], this.#config.graceTimeoutMs)
      }),
    )
  }

  /** A container ended. One that starts or retires is watched by whoever starts or stops it. */
  #exited(exit: Exit): void {
    const member = this.#members.get(exit.id)
    if (member?.state !== 'live') return
    this.#members.delete(exit.id)
    log('process-died', { app: member.app, process: member.process, code: exit.code })
    removeInstance(this.#host, exit.id)
      .catch((error) => logError('remove-failed', error, { id: exit.id }))
      .finally(() => this.#events.died(member, exit))
  }
}
