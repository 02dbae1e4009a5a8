import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { paths } from '../core/names.ts'
import type { Host } from './host.ts'

/**
 * What a bundle tells a daemon that comes after a killed one. `ready`: the container has been, and
 * requests may reach it; another may have been starting beside one that serves. `leaving`: it was
 * told to stop, and may have no ear for requests any more.
 */
export type Mark = 'ready' | 'leaving'

export function mark(host: Host, id: string, name: Mark): void {
  writeFileSync(fileOf(host, id, name), '')
}

export function isMarked(host: Host, id: string, name: Mark): boolean {
  return existsSync(fileOf(host, id, name))
}

function fileOf(host: Host, id: string, name: Mark): string {
  return join(paths(host.config).bundle(id), name)
}
