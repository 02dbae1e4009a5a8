import { Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { kernelNames } from '../core/names.ts'
import type { Limits } from '../core/types.ts'
import { readRecord, writeRecord } from './bundle.ts'
import { checkLimits, isFrozen } from './cgroup.ts'
import { limitScratch } from './disk-limit.ts'
import type { Host } from './host.ts'
import { rootArguments } from './runtime.ts'
import { cpuPeriodUs } from './spec.ts'

/** Changes to a container that runs, without a restart. */

/**
 * Gives a running container other limits and reads them back from the kernel. Throws a Failure
 * when the kernel does not take them, as for less memory than is in use; some may be set by then.
 */
export async function changeLimits(host: Host, id: string, limits: Limits): Promise<void> {
  const record = readRecord(host, id)
  if (!record) throw new Failure('failed', 'The container has ended meanwhile')
  const { memoryBytes: limit, cpus, pids } = limits
  const resources = {
    memory: host.limitsSwap ? { limit, swap: limit } : { limit },
    cpu: { period: cpuPeriodUs, quota: Math.round(cpus * cpuPeriodUs) },
    pids: { limit: pids },
  }
  await exec(host.programs.runc(), [...rootArguments(host), 'update', '--resources', '-', id], {
    input: JSON.stringify(resources),
  })
  checkLimits(kernelNames(host.config).cgroup(id), limits)
  limitScratch(host, id, limits)
  writeRecord(host, { ...record, limits })
}

/** Holds every process of the container where it is; its memory and connections stay. */
export async function pauseInstance(host: Host, id: string): Promise<void> {
  if (isPaused(host, id)) return
  await exec(host.programs.runc(), [...rootArguments(host), 'pause', id])
}

/** Lets a paused container go on. */
export async function resumeInstance(host: Host, id: string): Promise<void> {
  if (!isPaused(host, id)) return
  await exec(host.programs.runc(), [...rootArguments(host), 'resume', id])
}

export function isPaused(host: Host, id: string): boolean {
  return isFrozen(kernelNames(host.config).cgroup(id))
}
