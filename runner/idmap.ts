import { createHash } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { waitForEnd } from '../core/exec.ts'
import { newId, paths } from '../core/names.ts'
import { type Program, startProgram } from '../core/spawn.ts'
import { makeReadOnly, mountIdmapped, mountOverlay, unmount } from './kernel.ts'

/**
 * An app's own range of user ids on the host. Files keep the container's ids on disk (root is 0);
 * `store` and `shared` show the instance's and the host's layers with owners shifted to `base`, and
 * overlays are made of those, so that nothing is ever chowned.
 */
export type Idmap = { base: number; store: string; shared: string }

const rangeSize = 65_536
const unmappedOwner = 0xffff_fffe
const firstRange = 16
const rangeCount = 30_000

/** The app's range and mounts, made at the first call since boot. Not safe to call in parallel. */
export async function openIdmap(config: PaasConfig, app: string): Promise<Idmap> {
  const directory = join(paths(config).idmaps, app)
  const file = join(directory, 'base')
  const targets = { store: join(directory, 'store'), shared: join(directory, 'shared') }
  const known = Number(await readFile(file, 'utf8').catch(() => 'none'))
  if (
    known &&
    (await isMounted(targets.store, known)) &&
    (await isMounted(targets.shared, known))
  ) {
    return { base: known, ...targets }
  }
  await closeIdmap(config, app)
  const base = await freeBase(config, app)
  await mkdir(targets.store, { recursive: true })
  await mkdir(targets.shared)
  const userNamespace = await openUserNamespace(base)
  try {
    const { store, sharedLayers } = paths(config)
    mountIdmapped(store, targets.store, { userNamespace, readOnly: false })
    mountIdmapped(sharedLayers, targets.shared, { userNamespace, readOnly: true })
  } finally {
    closeSync(userNamespace)
  }
  await writeFile(file, String(base)) // last: whoever finds it finds the mounts too
  return { base, ...targets }
}

/**
 * Lets nobody list or change a directory of the store in a mapped view, where its owner is no one:
 * an `rm -r` of the run directory by hand, while apps run, would otherwise go through the view into
 * every storage. Who knows a name below passes; in the store itself it is root's as ever.
 */
export async function guard(directory: string): Promise<void> {
  await chown(directory, unmappedOwner, unmappedOwner)
  await chmod(directory, 0o711)
}

/** An earlier paas has left the shared layers open to whoever goes through a view of them. */
export async function guardShared(config: PaasConfig): Promise<void> {
  for (const app of await idmappedApps(config)) {
    makeReadOnly(join(paths(config).idmaps, app, 'shared'))
  }
}

/** Takes an app's mapped mounts away; call it once no container of the app is left. */
export async function closeIdmap(config: PaasConfig, app: string): Promise<void> {
  const directory = join(paths(config).idmaps, app)
  unmount(join(directory, 'store'), { detach: true })
  unmount(join(directory, 'shared'), { detach: true })
  await removeMountPoints(directory)
}

/** Apps that have mapped mounts. */
export async function idmappedApps(config: PaasConfig): Promise<string[]> {
  return readdir(paths(config).idmaps).catch(() => [])
}

/** The same file as the app's containers see it. */
export function mapped(config: PaasConfig, idmap: Idmap | undefined, path: string): string {
  if (!idmap) return path
  const { store, sharedLayers } = paths(config)
  if (isBelow(store, path)) return join(idmap.store, relative(store, path))
  if (isBelow(sharedLayers, path)) return join(idmap.shared, relative(sharedLayers, path))
  return path
}

/** Tries the whole mechanism once, on the file systems in question; the reason when it fails. */
export async function whyNoIdmap(config: PaasConfig): Promise<string | undefined> {
  const app = `${probe}${newId()}`
  const { scratch, target } = placesOf(config, app)
  try {
    for (const name of ['lower', 'upper', 'work'])
      await mkdir(join(scratch, name), { recursive: true })
    await mkdir(target)
    const idmap = await openIdmap(config, app)
    const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => {
      return mapped(config, idmap, join(scratch, name))
    })
    if (!lower || !upper || !work) return 'unreachable'
    mountOverlay({ lower: [lower, idmap.shared], upper, work, target })
    await mkdir(join(target, 'writable'))
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await removeProbe(config, app)
  }
}

/** Removes what a process that was killed has left of `whyNoIdmap`. */
export async function sweepProbes(config: PaasConfig): Promise<void> {
  const places = [config.run, paths(config).store, paths(config).idmaps]
  const names = (await Promise.all(places.map((place) => readdir(place)))).flat()
  const left = new Set(names.filter((name) => name.startsWith(probe)))
  for (const app of left) await removeProbe(config, app)
}

const probe = 'probe.' // no app is named so

function placesOf(config: PaasConfig, app: string) {
  return { scratch: join(paths(config).store, app), target: join(config.run, app) }
}

async function removeProbe(config: PaasConfig, app: string): Promise<void> {
  const { scratch, target } = placesOf(config, app)
  unmount(target, { detach: true })
  await closeIdmap(config, app)
  await rm(target, { recursive: true, force: true })
  await rm(scratch, { recursive: true, force: true })
}

async function isMounted(target: string, base: number): Promise<boolean> {
  const seen = await stat(target).catch(() => undefined)
  return seen?.uid === base
}

/** Begins at a number derived from the app, so that ranges of two instances seldom meet. */
async function freeBase(config: PaasConfig, app: string): Promise<number> {
  const used = new Set<number>()
  for (const other of await idmappedApps(config)) {
    const file = join(paths(config).idmaps, other, 'base')
    used.add(Number(await readFile(file, 'utf8').catch(() => '0')))
  }
  const hash = createHash('sha256').update(`${config.tag}/${app}`).digest().readUInt32BE()
  for (let step = 0; step < rangeCount; step++) {
    const base = rangeSize * (firstRange + ((hash + step) % rangeCount))
    if (!used.has(base)) return base
  }
  throw new Failure('failed', `All ${rangeCount} ranges of user ids are in use`)
}

/** A file descriptor of a user namespace; a process of ours holds it until we have opened it. */
async function openUserNamespace(base: number): Promise<number> {
  const holder = startProgram('unshare', ['--user', '--', 'cat'], {
    streams: ['to it', 'from it', 'nowhere'],
  })
  const ended = waitForEnd(holder, { timeoutMs: 10_000 })
  try {
    // cat answers once it runs, and it runs once it is in its own namespace.
    await Promise.race([echo(holder), ended.then(() => Promise.reject(noNamespace()))])
    // On disk, the one id above the range is the host's root: overlay makes its work directory
    // and its whiteouts as root, whom the map would otherwise not know.
    const map = `0 ${base} ${rangeSize}\n${rangeSize} 0 1\n`
    await writeFile(`/proc/${holder.pid}/uid_map`, map)
    await writeFile(`/proc/${holder.pid}/gid_map`, map)
    return openSync(`/proc/${holder.pid}/ns/user`, 'r')
  } finally {
    holder.streams[0]?.end()
    await ended.catch(() => {})
  }
}

function noNamespace(): Failure {
  return new Failure('failed', 'unshare could not make a user namespace')
}

function echo({ streams: [stdin, stdout] }: Program): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stdout?.once('data', () => resolve())
  stdin?.on('error', () => {}) // it ended early, which the caller sees by itself
  stdin?.write('\n')
  return promise
}

/** Only empty directories and our file: were a mount still there, its files must not be touched. */
async function removeMountPoints(directory: string): Promise<void> {
  await rm(join(directory, 'base'), { force: true })
  for (const path of [join(directory, 'store'), join(directory, 'shared'), directory]) {
    await removeEmpty(path)
  }
}

async function removeEmpty(path: string): Promise<void> {
  try {
    await rmdir(path)
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
  }
}

function isBelow(parent: string, path: string): boolean {
  return path.startsWith(`${parent}/`)
}
