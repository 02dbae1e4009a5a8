import { paths } from '../core/names.ts'
import type { Limits } from '../core/types.ts'
import { defaultDiskBytes } from '../core/config.ts'
import type { Host } from './host.ts'
import { liftLimit, limitDirectory, limitTree, type QuotaUse, quotaUse } from './quota.ts'

/** What containers and storages may write, where the file system can hold them to it. */

/** For a container's writable directories, before they are made, and again with other limits. */
export function limitScratch(host: Host, id: string, { diskBytes }: Limits): void {
  if (host.noQuota !== undefined) return
  limitDirectory(paths(host.config).scratch(id), diskBytes ?? defaultDiskBytes, host.firstProject)
}

/** For a directory that stays, whatever is in it; 0 bytes count what is there, without a limit. */
export async function limitFiles(host: Host, path: string, bytes: number): Promise<void> {
  if (host.noQuota === undefined) await limitTree(path, bytes, host.firstProject)
}

/** What is counted for a directory; undefined where nothing is. */
export function diskUse(host: Host, path: string): QuotaUse | undefined {
  return host.noQuota === undefined ? quotaUse(path) : undefined
}

/** What a container has written is to be kept: from now on it is under no limit. */
export function releaseScratch(host: Host, id: string): void {
  if (host.noQuota === undefined) liftLimit(paths(host.config).scratch(id))
}
