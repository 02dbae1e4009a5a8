import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { chown, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { appUser, limits, type PaasConfig } from '../../core/config.ts'
import { errno, Failure } from '../../core/errors.ts'
import { log, logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { InstanceSpec, Mount, Release } from '../../core/types.ts'
import { diskUse, limitFiles } from '../../runner/disk-limit.ts'
import type { Host } from '../../runner/host.ts'
import { mountedPaths } from '../../runner/mounted.ts'
import type { QuotaUse } from '../../runner/quota.ts'

/**
 * Storages on disk: a directory each, with the ids that containers see, so that apps with different
 * user ids on the host can share one. Nothing but the functions here ever removes one.
 */

type StorageRoom = { config: PaasConfig; host: Host }

/**
 * The bind mounts of a release's containers, what lies within another after that, which would hide
 * it. Throws when a storage was destroyed meanwhile.
 */
export function storageMounts(
  config: PaasConfig,
  { mounts }: Pick<Release, 'mounts'>,
): NonNullable<InstanceSpec['mounts']> {
  const inOrder = mounts.toSorted((a, b) => (a.target < b.target ? -1 : 1))
  return inOrder.map(({ storage, target }) => {
    const source = paths(config).storage(storage)
    if (existsSync(source)) return { source, target, readOnly: false }
    throw new Failure('failed', `The storage "${storage}" of this release is gone`, {
      hint: `To have it back: storage:restore ${storage}`,
    })
  })
}

/** `sizeBytes` is the most it may hold, where the file system can limit it; null for no limit. */
export async function makeStorage(
  { config, host }: StorageRoom,
  name: string,
  sizeBytes: number | null,
): Promise<void> {
  const dir = paths(config).storage(name)
  if (existsSync(dir)) trashStorage(config, name) // whose files these were is not known
  await mkdir(dir, { recursive: true })
  await chown(dir, appUser, appUser)
  await limitFiles(host, dir, sizeBytes ?? 0)
}

/** Limits what a storage may hold from now on; what is more than that already stays. */
export async function limitStorage(
  { config, host }: StorageRoom,
  name: string,
  sizeBytes: number | null,
): Promise<void> {
  await limitFiles(host, paths(config).storage(name), sizeBytes ?? 0)
}

/** Sets the limits that are recorded, for a file system that did not know them before. */
export async function limitStorages(
  room: StorageRoom,
  sizes: ReadonlyMap<string, number>,
): Promise<void> {
  for (const [name, bytes] of sizes) {
    await limitStorage(room, name, bytes).catch((error) =>
      logError('storage-not-limited', error, { storage: name }),
    )
  }
}

/** What a storage holds; undefined where the file system does not count it by itself. */
export function storageUse({ config, host }: StorageRoom, name: string): QuotaUse | undefined {
  const dir = paths(config).storage(name)
  return existsSync(dir) ? diskUse(host, dir) : undefined
}

/**
 * Puts a storage into the trash, where it stays for `limits.trashDays` days. At once, so that no
 * release can begin to use it between the row's end and this.
 */
export function trashStorage(config: PaasConfig, name: string): void {
  const { storage, trash } = paths(config)
  mkdirSync(trash, { recursive: true, mode: 0o700 })
  renameSync(storage(name), join(trash, `${name}@${Date.now()}`))
}

/** What a kill has left without its row, amid a destroy or a restore, is shown in the trash. */
export async function trashLost(config: PaasConfig, known: string[]): Promise<void> {
  for (const name of await namesIn(dirname(paths(config).storage('any')))) {
    if (known.includes(name)) continue
    log('storage-lost', { storage: name })
    trashStorage(config, name)
  }
}

/** Takes the newest storage of that name out of the trash. */
export async function untrashStorage(config: PaasConfig, name: string): Promise<void> {
  const { storage, trash } = paths(config)
  const [newest] = (await readTrash(config))
    .filter((one) => one.name === name)
    .sort((a, b) => b.at - a.at)
  if (!newest) {
    throw new Failure('failed', `There is no storage "${name}" in the trash`, {
      hint: `What was destroyed stays there for ${limits.trashDays} days`,
    })
  }
  await rename(join(trash, newest.entry), storage(name))
}

/** Removes for good what has been in the trash long enough, and is mounted nowhere. */
export async function emptyTrash({ config, host }: StorageRoom, now = Date.now()): Promise<void> {
  const oldest = now - limits.trashDays * 24 * 60 * 60 * 1000
  const old = (await readTrash(config)).filter(({ at }) => at < oldest)
  if (old.length === 0) return
  const mounted = await mountedPaths(host)
  for (const { entry } of old) {
    if (mounted.some((path) => path.endsWith(`/trash/${entry}`))) continue
    await rm(join(paths(config).trash, entry), { recursive: true, force: true })
  }
}

/** What lies in the trash; `at` is when it came there, in milliseconds since the epoch. */
export async function readTrash(
  config: PaasConfig,
): Promise<{ entry: string; name: string; at: number }[]> {
  const entries = await namesIn(paths(config).trash)
  return entries.map((entry) => {
    const [name = '', at] = entry.split('@')
    return { entry, name, at: Number(at) }
  })
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error) => {
    if (errno(error) === 'ENOENT') return []
    throw error
  })
}

/** `data:/app/uploads` */
export function showMount({ storage, target }: Mount): string {
  return `${storage}:${target}`
}
