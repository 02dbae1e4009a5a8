import { appPort, type PaasConfig } from '../core/config.ts'
import { log, logError } from '../core/log.ts'
import { newId } from '../core/names.ts'
import type { Exit, Instance, InstanceSpec, Release, Say } from '../core/types.ts'
import { nextAddress } from '../runner/address.ts'
import { drained, waitUntilReady } from '../runner/health.ts'
import type { Host } from '../runner/host.ts'
import { listInstances, watchExits } from '../runner/observe.ts'
import { startInstance } from '../runner/start.ts'
import { removeInstance, stopInstance } from '../runner/stop.ts'
import { instanceSpec, processType } from './processes.ts'

/**
 * Every container of this host, as one list in memory that mirrors what the kernel runs. It is
 * read anew from the kernel at boot, so that nothing here needs to survive the daemon.
 */
export type Fleet = ReturnType<typeof openFleet>

/** `starting`: a deploy holds it and nobody else may judge it. `retiring`: it drains and stops. */
export type Member = Instance & { state: 'starting' | 'live' | 'retiring'; startedAt: number }

const neverServedGraceMs = 1000

export function openFleet(
  host: Host,
  config: PaasConfig,
  onDeath: (member: Member, exit: Exit) => void,
) {
  const members = new Map<string, Member>()
  const reserved = new Set<string>()
  const exits = new Map<string, (exit: Exit) => void>()
  let lastAddress: string | undefined

  /** An id and an address for a container that is about to start. */
  function place(): { id: string; address: string } & Disposable {
    const used = new Set([...reserved, ...[...members.values()].map(({ address }) => address)])
    const address = nextAddress(config.subnet, used, lastAddress)
    lastAddress = address
    reserved.add(address)
    return { id: newId(), address, [Symbol.dispose]: () => void reserved.delete(address) }
  }

  async function start(release: Release, process: string, signal: AbortSignal): Promise<Member> {
    using placed = place()
    const spec: InstanceSpec = instanceSpec(release, process, placed)
    const instance = await startInstance(host, spec, signal)
    const member: Member = { ...instance, state: 'starting', startedAt: Date.now() }
    members.set(member.id, member)
    return member
  }

  /** Web must accept on its port, anything else must stay up for a second. */
  async function ready(member: Instance, say: Say, signal: AbortSignal): Promise<void> {
    const check = processType(member.process) === 'web' ? { port: appPort } : { uptimeMs: 1000 }
    await waitUntilReady(host, member, check, {
      timeoutMs: config.readyTimeoutMs,
      signal,
      warn: say,
    })
  }

  /** Stops at once what never served a request, or with `graceMs` what may have work to finish. */
  async function stop(instances: Instance[], graceMs = neverServedGraceMs): Promise<void> {
    await Promise.all(
      instances.map(async ({ id }) => {
        const member = members.get(id)
        if (member) member.state = 'retiring'
        await stopInstance(host, id, { graceMs })
        members.delete(id)
      }),
    )
  }

  /** Lets the open requests of these finish, then stops them; resolves when they are gone. */
  async function retire(instances: Instance[]): Promise<void> {
    await Promise.all(
      instances.map(async (instance) => {
        const member = members.get(instance.id)
        if (!member) return
        member.state = 'retiring'
        if (processType(member.process) === 'web') {
          await drained(host, member, { timeoutMs: config.drainTimeoutMs })
        }
        await stop([member], config.graceTimeoutMs)
      }),
    )
  }

  const watcher = watchExits(host, (exit) => {
    exits.get(exit.id)?.(exit)
    const member = members.get(exit.id)
    if (!member || member.state === 'retiring') return
    if (member.state === 'starting') return // its deploy sees the exit and undoes it
    members.delete(exit.id)
    log('process-died', { app: member.app, process: member.process, code: exit.code })
    removeInstance(host, exit.id)
      .catch((error) => logError('remove-failed', error, { id: exit.id }))
      .finally(() => onDeath(member, exit))
  })

  return {
    start,
    ready,
    stop,
    retire,
    place,
    /** Marks containers as serving: from now on a death of theirs is repaired. */
    adopt: (instances: Instance[]) => {
      for (const { id } of instances) {
        const member = members.get(id)
        if (member?.state === 'starting') member.state = 'live'
      }
    },
    /** Takes in the containers that outlived a previous daemon; returns them. */
    async readmit(): Promise<Member[]> {
      for (const { alive, ...instance } of await listInstances(host)) {
        if (alive) members.set(instance.id, { ...instance, state: 'live', startedAt: Date.now() })
      }
      return [...members.values()]
    },
    of: (app: string) => [...members.values()].filter((member) => member.app === app),
    all: () => [...members.values()],
    close: () => watcher[Symbol.dispose](),
  }
}
