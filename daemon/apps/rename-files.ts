import { lstatSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { errno, Failure } from '../../core/errors.ts'
import { log } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import { forgetApp } from '../../runner/host.ts'
import { idmappedApps } from '../../runner/idmap.ts'
import { exchange } from '../../runner/kernel.ts'
import { listInstances } from '../../runner/observe.ts'
import type { Daemon } from '../daemon.ts'

/**
 * An app's directories bear its name. When it gets another they move at once, and a symbolic link
 * stays behind under the old name for whoever still uses it. A link alone tells what a killed
 * daemon was doing: the app of one of its two ends exists, and that end is the right one.
 */

type WithFiles = Pick<Daemon, 'config' | 'store' | 'host' | 'renames'>

/** `stays`: containers that run reach it by its old name. */
function placesOf({ config }: Pick<Daemon, 'config'>) {
  const { repo, logs, buildCache, dockerCache } = paths(config)
  return [
    { place: repo, stays: false },
    { place: logs, stays: true },
    { place: buildCache, stays: false },
    { place: dockerCache, stays: false },
  ]
}

/** Throws a Failure for a name that an app is being given, or that what runs of one still has. */
export async function refuseNameInUse(daemon: WithFiles, name: string): Promise<void> {
  const { logs } = paths(daemon.config)
  const links = await linksIn(dirname(logs('x')))
  const heir = daemon.renames.get(name) ?? links.get(name)
  if (heir === undefined && ![...links.values()].includes(name)) return
  throw new Failure('temporary', `The name ${name} is part of a renaming that is not over yet`, {
    hint: 'It is over when all that ran under the old name has stopped: try again in a minute',
  })
}

/** Moves what `from` has to `to`; whoever uses the old paths goes on. */
export async function moveFiles(daemon: WithFiles, from: string, to: string): Promise<void> {
  for (const { place } of placesOf(daemon)) {
    await mkdir(place(from), { recursive: true, mode: 0o700 })
    await rm(place(to), { recursive: true, force: true }) // no app has that name
    symlinkSync(basename(place(to)), place(to)) // for an instant it leads to itself
    exchange(place(from), place(to))
  }
}

/** Undoes moveFiles, however far it came. */
export function moveFilesBack(daemon: WithFiles, from: string, to: string): void {
  for (const { place } of placesOf(daemon)) {
    if (linkedTo(place(from)) === basename(place(to))) exchange(place(from), place(to))
    if (linkedTo(place(to)) !== undefined) unlinkSync(place(to))
  }
}

/** After the switch: new pushes and builds of the old name are not of this app any more. */
export function leaveOldFiles({ config }: WithFiles, from: string): void {
  const { repo, buildCache, dockerCache } = paths(config)
  for (const path of [repo(from), buildCache(from), dockerCache(from)]) {
    if (linkedTo(path) !== undefined) unlinkSync(path)
  }
}

/**
 * At boot, before anything looks for an app's files: finishes or undoes what was cut off, and
 * removes what no app owns.
 */
export async function settleNames(daemon: WithFiles): Promise<void> {
  const known = new Set(daemon.store.apps().map(({ name }) => name))
  for (const { place, stays } of placesOf(daemon)) {
    const folder = dirname(place('x'))
    for (const [link, target] of await linksIn(folder)) {
      const [from, to] = [nameOf(link), nameOf(target)]
      const isDone = known.has(to)
      log('rename-settled', { from, to, done: isDone })
      if (isDone && stays) continue
      if (!isDone && from !== to) exchange(place(from), place(to))
      unlinkSync(place(isDone ? from : to))
    }
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      if (!entry.isDirectory() || known.has(nameOf(entry.name))) continue
      await rm(join(folder, entry.name), { recursive: true, force: true })
    }
  }
}

/** Forgets old names that no container uses any more. */
export async function forgetOldNames(daemon: WithFiles): Promise<void> {
  const { config, store, host, renames } = daemon
  const { logs } = paths(config)
  const links = await linksIn(dirname(logs('x')))
  const mapped = (await idmappedApps(config)).filter((name) => !store.findApp(name))
  const old = new Set([...links.keys(), ...mapped])
  if (old.size === 0) return
  const used = new Set((await listInstances(host)).map(({ app }) => app))
  for (const name of old) {
    if (used.has(name) || renames.has(name) || [...renames.values()].includes(name)) continue
    if (linkedTo(logs(name)) !== undefined) unlinkSync(logs(name))
    if (!store.findApp(name)) await forgetApp(host, name)
  }
}

/** The symbolic links of a directory, each with what it leads to. */
async function linksIn(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const links = entries.filter((entry) => entry.isSymbolicLink())
  return new Map(links.map(({ name }) => [name, linkedTo(join(folder, name)) ?? '']))
}

/** `shop.git` is the repository of shop. */
function nameOf(file: string): string {
  return file.replace(/\.git$/, '')
}

function linkedTo(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}
