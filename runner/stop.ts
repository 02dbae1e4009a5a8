import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errno } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import { kernelNames, paths } from '../core/names.ts'
import { isAlive, sendSignal } from '../core/processes.ts'
import type { Exit } from '../core/types.ts'
import { readRecord } from './bundle.ts'
import { killCgroup, removeCgroup, thaw } from './cgroup.ts'
import { forgetExit, isMonitored, waitForExit } from './exits.ts'
import type { Host } from './host.ts'
import { unmount } from './kernel.ts'
import { mark } from './marks.ts'
import { removeMonitor } from './monitor-group.ts'
import { removeLink } from './network.ts'
import { leadsProgram, processesWith } from './processes.ts'
import { deleteContainer } from './runtime.ts'

const signalsTimeoutMs = 500
/** A killed process goes once the kernel lets it: at once, but on a busy machine. */
const killTimeoutMs = 5000

/** SIGTERM, up to `graceMs` to leave in peace, SIGKILL; then nothing of the container is left. */
export async function stopInstance(
  host: Host,
  id: string,
  options: { graceMs: number },
): Promise<void> {
  await endInstance(host, id, options)
}

/** As stopInstance; returns how the container left, if it left in peace. */
export async function endInstance(
  host: Host,
  id: string,
  options: { graceMs: number },
): Promise<Exit | undefined> {
  const record = readRecord(host, id)
  let exit: Exit | undefined
  if (record && isAlive(record)) {
    markLeaving(host, id)
    await thaw(kernelNames(host.config).cgroup(id))
    await terminate(record.pid)
    exit = await waitForExit(host, id, { timeoutMs: options.graceMs })
  }
  await removeInstance(host, id)
  return exit
}

/**
 * Kills and removes whatever exists of a container: processes, groups, network, mounts, writable
 * directories, bundle. Copes with any half-made one and may be repeated after a crash: the bundle,
 * which is how a container is found, goes last.
 */
export async function removeInstance(
  host: Host,
  id: string,
  options: { keepScratch?: boolean } = {},
): Promise<void> {
  const names = kernelNames(host.config)
  const bundle = paths(host.config).bundle(id)
  if (readRecord(host, id) === undefined) await killMakers(id)
  for (const group of [names.cgroup(id), names.buildCgroup(id)]) await killCgroup(group)
  await waitForMonitor(host, id)
  await removeMonitor(host, id)
  await deleteContainer(host, id)
  for (const group of [names.cgroup(id), names.buildCgroup(id)]) await removeCgroup(group)
  await unmountRoot(join(bundle, 'rootfs'))
  await removeLink(names.veth(id)) // the kernel dismantles it with the container, in its own time
  const scratch = paths(host.config).scratch(id)
  if (!options.keepScratch) await rm(scratch, { recursive: true, force: true })
  forgetExit(host, id)
  await rm(bundle, { recursive: true, force: true })
}

/** A full disk is no reason to leave it running. */
function markLeaving(host: Host, id: string): void {
  try {
    mark(host, id, 'leaving')
  } catch (error) {
    logError('mark-failed', error, { id })
  }
}

/** The program of one that has only just begun would never see the signal. */
async function terminate(pid: number): Promise<void> {
  const deadline = performance.now() + signalsTimeoutMs
  while (!leadsProgram(pid) && performance.now() < deadline) await delay(1)
  sendSignal(pid, 'SIGTERM')
}

/**
 * A monitor or runtime that is still at work would go on to make what we are about to remove. Until
 * none is left: the one we saw may have begun another that we did not.
 */
async function killMakers(id: string): Promise<void> {
  const deadline = performance.now() + killTimeoutMs
  for (;;) {
    const makers = processesWith(['conmon', 'runc'], id)
    if (makers.length === 0 || performance.now() > deadline) return
    for (const pid of makers) sendSignal(pid, 'SIGKILL')
    await delay(1)
  }
}

/** The monitor notices the end by itself; it still has last words to log. */
async function waitForMonitor(host: Host, id: string): Promise<void> {
  if (isMonitored(host, id)) await waitForExit(host, id, { timeoutMs: 5000 })
}

async function unmountRoot(target: string): Promise<void> {
  for (let wait = 1; ; wait *= 2) {
    try {
      unmount(target)
      return
    } catch (error) {
      if (errno(error) !== 'EBUSY') throw error
      if (wait > 256) break
      await delay(wait)
    }
  }
  unmount(target, { detach: true })
}
