import { readdir } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { logError } from '../core/log.ts'
import { kernelNames, paths } from '../core/names.ts'
import { isAlive } from '../core/processes.ts'
import type { Exit, Instance } from '../core/types.ts'
import { readRecord } from './bundle.ts'
import { childGroups } from './cgroup.ts'
import { isMonitored, readExit, watchDirectory } from './exits.ts'
import type { Host } from './host.ts'
import { isMarked, type Mark } from './marks.ts'
import { removeInstance } from './stop.ts'

/** What a look at a container finds: whether it lives, and its marks. */
export type Seen = Instance & { alive: boolean } & Record<Mark, boolean>

/** Every container that was started and not yet removed, the newest first, from bundles alone. */
export async function listInstances(host: Host): Promise<Seen[]> {
  const ids = await names(paths(host.config).bundles)
  return ids
    .map((id) => readRecord(host, id))
    .filter((record) => record !== undefined)
    .map(({ startTime, limits: _limits, ...instance }) => ({
      ...instance,
      alive: isAlive({ pid: instance.pid, startTime }),
      ready: isMarked(host, instance.id, 'ready'),
      leaving: isMarked(host, instance.id, 'leaving'),
    }))
    .sort((a, b) => b.startedAt - a.startedAt)
}

/** Whether a container lives, lives with nobody left to report its end, or is gone. */
export function vitalSigns(host: Host, id: string): 'alive' | 'unwatched' | 'gone' {
  const record = readRecord(host, id)
  if (!record || !isAlive(record)) return 'gone'
  return isMonitored(host, id) ? 'alive' : 'unwatched'
}

/**
 * Calls back with the exit of each container that still has a bundle, those included that ended
 * while nobody watched; maybe more than once. A container that stopInstance removed meanwhile is
 * not reported.
 */
export function watchExits(host: Host, onExit: (exit: Exit) => void): Disposable {
  let open = true
  const report = (id: string) => {
    try {
      const exit = open && isId(id) ? readExit(host, id) : undefined
      if (exit) onExit(exit)
    } catch (error) {
      logError('exit-unread', error, { id })
    }
  }
  const watcher = watchDirectory(paths(host.config).exits, report)
  names(paths(host.config).bundles).then(
    (ids) => ids.forEach(report),
    (error: unknown) => logError('exits-unread', error),
  )
  return {
    [Symbol.dispose]: () => {
      open = false
      watcher[Symbol.dispose]()
    },
  }
}

/**
 * Removes every container, or part of one, whose id is not in `keepIds`, of those that listRemains
 * has found. Returns the ids it removed: the kernel may keep a process that was killed, and no
 * daemon's start may hang on that.
 */
export async function sweepOrphans(
  host: Host,
  keepIds: ReadonlySet<string>,
  remains?: string[],
): Promise<string[]> {
  const orphans = (remains ?? (await listRemains(host))).filter((id) => !keepIds.has(id))
  const removed = await Promise.all(
    orphans.map((id) =>
      removeInstance(host, id).then(
        () => [id],
        (error: unknown) => {
          logError('orphan-left', error, { id })
          return []
        },
      ),
    ),
  )
  return removed.flat()
}

/**
 * Every container, or part of one, that there is: in bundles, the runtime's state, control groups,
 * network or writable directories.
 */
export async function listRemains(host: Host): Promise<string[]> {
  const p = paths(host.config)
  const places = [p.bundles, p.runcRoot, p.exits, dirname(p.scratch('x'))]
  const found = [
    ...(await Promise.all(places.map(names))).flat(),
    ...childGroups(kernelNames(host.config).cgroupParent),
    ...childGroups(kernelNames(host.config).builds),
    ...childGroups(kernelNames(host.config).monitors),
    ...(await vethIds(host)),
  ]
  return [...new Set(found)].filter(isId)
}

/** Ids of the pairs on this instance's bridge. */
async function vethIds(host: Host): Promise<string[]> {
  const { bridge, veth } = kernelNames(host.config)
  const ports = await names(`/sys/class/net/${bridge}/brif`)
  const prefix = veth('')
  return ports.map((port) => basename(port).replace(prefix, ''))
}

function isId(name: string): boolean {
  return /^[0-9a-f]{12}$/.test(name)
}

async function names(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => [])
}
