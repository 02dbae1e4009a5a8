import { existsSync } from 'node:fs'
import { chown, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser, limits, type PaasConfig } from '../../core/config.ts'
import { errno, Failure } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { InstanceSpec, Mount, Release } from '../../core/types.ts'
import { diskUse, limitFiles } from '../../runner/disk-limit.ts'
import type { Host } from '../../runner/host.ts'
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

/** Puts a storage into the trash, where it stays for `limits.trashDays` days. */
export async function trashStorage(config: PaasConfig, name: string): Promise<void> {
  const { storage, trash } = paths(config)
  await mkdir(trash, { recursive: true, mode: 0o700 })
  await rename(storage(name), join(trash, `${name}@${Date.now()}`))
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

/** Removes for good what has been in the trash long enough. */
export async function emptyTrash(config: PaasConfig, now = Date.now()): Promise<void> {
  const oldest = now - limits.trashDays * 24 * 60 * 60 * 1000
  for (const { entry, at } of await readTrash(config)) {
    if (at < oldest) await rm(join(paths(config).trash, entry), { recursive: true, force: true })
  }
}

/** What lies in the trash; `at` is when it came there, in milliseconds since the epoch. */
export async function readTrash(
  config: PaasConfig,
): Promise<{ entry: string; name: string; at: number }[]> {
  const entries = await readdir(paths(config).trash).catch((error) => {
    if (errno(error) === 'ENOENT') return []
    throw error
  })
  return entries.map((entry) => {
    const [name = '', at] = entry.split('@')
    return { entry, name, at: Number(at) }
  })
}

/** `data:/app/uploads` */
export function showMount({ storage, target }: Mount): string {
  return `${storage}:${target}`
}
