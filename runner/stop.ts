import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errno } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { kernelNames, paths } from '../core/names.ts'
import { readRecord } from './bundle.ts'
import { killCgroup, removeCgroup } from './cgroup.ts'
import { forgetExit, readExit, waitForExit } from './exits.ts'
import type { Host } from './host.ts'
import { unmount } from './kernel.ts'
import { isAlive, processesWithArgument } from './processes.ts'
import { deleteContainer } from './runtime.ts'

/** SIGTERM, up to `graceMs` to leave in peace, SIGKILL; then nothing of the container is left. */
export async function stopInstance(
  host: Host,
  id: string,
  options: { graceMs: number },
): Promise<void> {
  const record = await readRecord(host, id)
  if (record && isAlive(record.pid, record.startTime)) {
    process.kill(record.pid, 'SIGTERM')
    await waitForExit(host, id, { timeoutMs: options.graceMs })
  }
  await removeInstance(host, id)
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
  if ((await readRecord(host, id)) === undefined) killMakers(bundle, id)
  await killCgroup(names.cgroup(id))
  await waitForMonitor(host, id)
  await deleteContainer(host, id)
  await removeCgroup(names.cgroup(id))
  await unmountRoot(join(bundle, 'rootfs'))
  await removeVeth(names.veth(id))
  if (!options.keepScratch) await removeScratch(host, id)
  await forgetExit(host, id)
  await rm(bundle, { recursive: true, force: true })
}

/** Removes a container's writable directories. */
export async function removeScratch(host: Host, id: string): Promise<void> {
  await rm(paths(host.config).scratch(id), { recursive: true, force: true })
}

/** A monitor or runtime that is still at work would go on to make what we are about to remove. */
function killMakers(bundle: string, id: string): void {
  const makers = new Set([...processesWithArgument(bundle), ...processesWithArgument(id)])
  for (const pid of makers) kill(pid)
}

/** The monitor notices the end by itself; it still has last words to log. */
async function waitForMonitor(host: Host, id: string): Promise<void> {
  const record = await readRecord(host, id)
  if (!record) return
  if ((await readExit(host, id)) === undefined) await waitForExit(host, id, { timeoutMs: 5000 })
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

/** It goes with the container's network, which the kernel dismantles in its own time. */
async function removeVeth(name: string): Promise<void> {
  if (!existsSync(`/sys/class/net/${name}`)) return
  await exec('ip', ['link', 'delete', name], { accept: [0, 1] })
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (errno(error) !== 'ESRCH') throw error
  }
}
