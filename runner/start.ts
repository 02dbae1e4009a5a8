import { mkdirSync } from 'node:fs'
import { Failure, stopIfCancelled } from '../core/errors.ts'
import { kernelNames, paths } from '../core/names.ts'
import { startTime } from '../core/processes.ts'
import type { Instance, InstanceSpec } from '../core/types.ts'
import { makeBundle, writeRecord } from './bundle.ts'
import { checkLimits } from './cgroup.ts'
import type { Host } from './host.ts'
import { limitMonitor } from './monitor-group.ts'
import { joinNetwork } from './network.ts'
import { createContainer, startContainer } from './runtime.ts'
import { removeInstance } from './stop.ts'

/**
 * Starts a container under a monitor that outlives this process. Whatever fails or is cancelled on
 * the way is undone before the Failure is thrown.
 */
export async function startInstance(
  host: Host,
  spec: InstanceSpec,
  signal: AbortSignal,
): Promise<Instance> {
  stopIfCancelled(signal)
  await using undo = new AsyncDisposableStack()
  undo.defer(() => removeInstance(host, spec.id))
  await makeBundle(host, spec)
  mkdirSync(paths(host.config).logs(spec.app), { recursive: true, mode: 0o700 })
  stopIfCancelled(signal)
  const pid = await createContainer(host, spec, signal)
  await joinNetwork(host, spec, pid)
  checkLimits(kernelNames(host.config).cgroup(spec.id), spec.limits)
  const began = startTime(pid)
  if (began === undefined) {
    throw new Failure('failed', `The container of ${spec.process} ended before it began`)
  }
  const { id, app, process, release, address } = spec
  const layers = spec.layers.map(({ key }) => key)
  const startedAt = Date.now()
  const instance: Instance = { id, app, process, release, address, pid, startedAt, layers }
  if (spec.kind === 'run') instance.kind = 'run'
  if (spec.port !== undefined) instance.port = spec.port
  stopIfCancelled(signal)
  // Together: to move a process between groups can take the kernel longer than all the rest.
  await Promise.all([startContainer(host, id, pid), limitMonitor(host, id)])
  writeRecord(host, { ...instance, startTime: began, limits: spec.limits })
  undo.move()
  return instance
}
