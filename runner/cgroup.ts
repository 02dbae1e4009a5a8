import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errno, Failure } from '../core/errors.ts'
import { sendSignal } from '../core/processes.ts'
import type { Limits } from '../core/types.ts'

/** The control groups of a container, on version 1, on the hybrid layout and on version 2. */

const mountPoint = '/sys/fs/cgroup'

export function cgroupVersion(): 1 | 2 {
  return existsSync(join(mountPoint, 'cgroup.controllers')) ? 2 : 1
}

/** Whether a limit on swap can be set; without swap accounting runc refuses one on version 1. */
export function limitsSwap(): boolean {
  const file = join(mountPoint, 'memory/memory.memsw.limit_in_bytes')
  return cgroupVersion() === 2 || existsSync(file)
}

/** The directories that exist for `path` (such as `/paas/0123456789ab`), one a hierarchy. */
export function cgroupDirectories(path: string): string[] {
  const roots = cgroupVersion() === 2 ? [mountPoint] : hierarchies()
  return roots.map((root) => join(root, path)).filter((directory) => existsSync(directory))
}

/** Throws a Failure when the kernel has not taken the limits as asked. */
export function checkLimits(path: string, limits: Limits): void {
  const two = cgroupVersion() === 2
  const memory = read('memory', path, two ? 'memory.max' : 'memory.limit_in_bytes')
  const pids = read('pids', path, 'pids.max')
  const cpus = two ? ratio(read('cpu', path, 'cpu.max')) : cpuOfVersion1(path)
  const page = 65536 // the kernel rounds down to whole pages, which are this large at most
  const seen = { memory: Number(memory), cpus, pids: Number(pids) }
  const good =
    Math.abs(seen.memory - limits.memoryBytes) < page &&
    Math.abs(seen.cpus - limits.cpus) < 0.01 &&
    seen.pids === limits.pids
  if (good) return
  throw new Failure('failed', `The kernel did not take the limits: ${JSON.stringify(seen)}`, {
    hint: 'paas doctor shows which cgroup controllers are missing',
  })
}

/** Whether the group's processes are held by the freezer. */
export function isFrozen(path: string): boolean {
  if (cgroupVersion() === 2) return read('', path, 'cgroup.freeze') === '1'
  return read('freezer', path, 'freezer.state') === 'FROZEN'
}

/** Lets a frozen group go on; one that is not frozen, or gone, is left alone. */
export async function thaw(path: string): Promise<void> {
  if (!isFrozen(path)) return
  const two = cgroupVersion() === 2
  const file = two ? join(mountPoint, path, 'cgroup.freeze') : freezerState(path)
  await writeFile(file, two ? '0' : 'THAWED').catch(ignoreGone)
}

function freezerState(path: string): string {
  return join(mountPoint, 'freezer', path, 'freezer.state')
}

function ignoreGone(error: unknown): void {
  if (errno(error) !== 'ENOENT' && errno(error) !== 'ENODEV') throw error
}

/** SIGKILLs every process of the group until none is left, at most for `timeoutMs`. */
export async function killCgroup(path: string, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    const directories = cgroupDirectories(path)
    const pids = new Set(directories.flatMap(processes))
    if (pids.size === 0) return
    for (const directory of directories) {
      // One write that no fork can outrun, where the kernel has it.
      const file = join(directory, 'cgroup.kill')
      if (existsSync(file)) await writeFile(file, '1').catch(() => {})
    }
    for (const pid of pids) sendSignal(pid, 'SIGKILL')
    await thaw(path) // in version 1 the frozen do not even die
    await delay(5)
  }
  throw new Failure('failed', `Processes of ${path} outlived SIGKILL for ${timeoutMs} ms`)
}

/** Makes a group in which processes can be found again, below one of a container. */
export async function makeGroup(path: string): Promise<void> {
  const root = cgroupVersion() === 2 ? mountPoint : join(mountPoint, 'pids')
  await mkdir(join(root, path))
}

/** Removes the group's directories, subgroups first; the kernel may need a while to let go. */
export async function removeCgroup(path: string): Promise<void> {
  for (const directory of cgroupDirectories(path)) await removeTree(directory)
}

/** The names of the groups directly below `path`, over all hierarchies. */
export function childGroups(path: string): string[] {
  return [...new Set(cgroupDirectories(path).flatMap(subdirectories))]
}

async function removeTree(directory: string): Promise<void> {
  for (const child of subdirectories(directory)) await removeTree(join(directory, child))
  for (let wait = 1; ; wait *= 2) {
    try {
      return await rmdir(directory)
    } catch (error) {
      const code = errno(error)
      if (code === 'ENOENT') return
      if (code !== 'EBUSY' || wait > 1024) throw error
      for (const pid of processes(directory)) sendSignal(pid, 'SIGKILL') // it was joining when the others died
      await delay(wait)
    }
  }
}

function subdirectories(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}

function hierarchies(): string[] {
  return subdirectories(mountPoint).map((name) => join(mountPoint, name))
}

function processes(directory: string): number[] {
  const own = readText(join(directory, 'cgroup.procs')) ?? ''
  const below = subdirectories(directory).flatMap((child) => processes(join(directory, child)))
  return [...own.split('\n').filter(Boolean).map(Number), ...below]
}

function cpuOfVersion1(path: string): number {
  const quota = read('cpu', path, 'cpu.cfs_quota_us')
  const period = read('cpu', path, 'cpu.cfs_period_us')
  return Number(quota) / Number(period)
}

function ratio(text: string | undefined): number {
  const [quota, period] = (text ?? '').split(' ')
  return Number(quota) / Number(period)
}

/** Where the groups of a controller lie. */
export function cgroupRoot(controller: string): string {
  return cgroupVersion() === 2 ? mountPoint : join(mountPoint, controller)
}

/** A file of a group, without its last newline; undefined when there is none. */
export function read(controller: string, path: string, file: string): string | undefined {
  return readText(join(cgroupRoot(controller), path, file))?.trim()
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENODEV') return undefined
    throw error
  }
}
