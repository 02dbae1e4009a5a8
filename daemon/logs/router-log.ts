import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { logError } from '../../core/log.ts'
import { paths, printable } from '../../core/names.ts'
import type { Release } from '../../core/types.ts'
import {
  type AccessEntry,
  type AccessPosition,
  detailsOf,
  openAccessLog,
} from '../../router/access-log.ts'
import { routerPaths } from '../../router/routes.ts'
import type { Daemon } from '../daemon.ts'
import { openKeeper, readKept } from '../metrics/kept-counts.ts'
import type { Served } from '../metrics/metrics.ts'

/** Follows the router's log: each request is counted, and told to the log of its app. */

const lookMs = 500
/** Of one app in one look; more requests than these are told as a sum. */
const linesPerLook = 50
const addressesKept = 4096

type Owner = Pick<Served, 'app' | 'process' | 'release'>

export function openRouterLog(daemon: Daemon, appOf: (host: string) => string | undefined) {
  const { config } = daemon
  const memory = join(paths(config).run, 'router-log.json')
  const kept = readKept(config)
  const toldTo = readPosition(memory)
  const reader = openAccessLog(routerPaths(config).accessLog, earlier(kept?.position, toldTo))
  if (kept) daemon.metrics.restore(kept.counts)
  const owners = new Map<string, Owner>()
  let busy = false

  const look = async () => {
    const releases = new Map<string, number | undefined>()
    const told = new Map<string, Told>()
    rememberOwners(daemon, owners)
    // A killed daemon has told of these, and its count of them went with it.
    if (toldTo) await reader.readUntil(toldTo, count)
    const before = reader.position()
    await reader.readOn((entry) => {
      const served = count(entry)
      if (served) note(told, served, entry)
    })
    tell(daemon, told)
    const after = reader.position()
    if (after.offset !== before.offset || after.inode !== before.inode) {
      writeFileSync(`${memory}.new`, JSON.stringify(after), { mode: 0o600 })
      renameSync(`${memory}.new`, memory) // whoever is killed now has told twice, but lost nothing
    }

    function count(entry: AccessEntry): Served | undefined {
      const served = whom(entry)
      if (served) daemon.metrics.request(served, entry)
      return served
    }

    function whom({ upstream, host }: AccessEntry): Served | undefined {
      const owner = upstream === undefined ? undefined : owners.get(upstream.split(':')[0] ?? '')
      const app = owner?.app ?? appOf(host)
      if (app === undefined) return undefined
      if (!releases.has(app)) releases.set(app, currentVersion(daemon, app))
      const release = releases.get(app)
      if (release === undefined) return undefined // gone: its log must not come back
      return owner ?? { app, process: upstream === undefined ? 'router' : 'web', release }
    }
  }

  const keeper = openKeeper(daemon, reader.position)
  const timer = setInterval(() => {
    if (busy) return
    busy = true
    look()
      .then(() => keeper.look())
      .catch((error) => logError('router-log-failed', error))
      .finally(() => {
        busy = false
      })
  }, lookMs)
  return {
    close(): void {
      clearInterval(timer)
      if (!busy) keeper.keep()
      reader.close()
    },
  }
}

type Told = {
  lines: { at: Date; text: string }[]
  more: number
  errors: number
  release: Release['version']
}

function note(told: Map<string, Told>, served: Served, entry: AccessEntry): void {
  const one = told.get(served.app) ?? { lines: [], more: 0, errors: 0, release: served.release }
  told.set(served.app, one)
  if (one.lines.length < linesPerLook) {
    one.lines.push({ at: new Date(entry.at), text: formatEntry(entry, served) })
  } else {
    one.more += 1
    if (entry.status >= 500) one.errors += 1
  }
}

function tell({ journal }: Daemon, told: Map<string, Told>): void {
  for (const [app, { lines, more, errors, release }] of told) {
    const text = `${more} more requests, ${errors} of them 5xx, in the same moment`
    const inOrder = lines.sort((a, b) => a.at.getTime() - b.at.getTime())
    const last = inOrder.at(-1)?.at ?? new Date()
    const all = more > 0 ? [...inOrder, { at: last, text }] : inOrder
    journal.write(app, { process: 'router', release }, all)
  }
}

function currentVersion({ store }: Daemon, app: string): number | undefined {
  return store.findApp(app) && (store.currentRelease(app)?.version ?? 0)
}

/** `GET /path 200 12 ms 512 B web.1 192.0.2.7` */
export function formatEntry(entry: AccessEntry, { process }: Pick<Served, 'process'>): string {
  const { status, ms } = entry
  const { method, path, bytes, client } = detailsOf(entry)
  const took = ms < 10 ? ms.toFixed(1) : String(Math.round(ms))
  const to = process === 'router' ? '-' : process
  return `${printable(method)} ${printable(path)} ${status} ${took} ms ${bytes} B ${to} ${client}`
}

/** An address rests for long before it is another's, so the last who had it is who was asked. */
function rememberOwners(daemon: Daemon, owners: Map<string, Owner>): void {
  for (const { address, app, process, release } of daemon.fleet.all()) {
    owners.delete(address)
    // One that gets a new name may be asked a moment before the store knows that name.
    owners.set(address, { app: daemon.renames.get(app) ?? app, process, release })
  }
  for (const address of owners.keys()) {
    if (owners.size <= addressesKept) return
    owners.delete(address)
  }
}

/** Where to read on: at what was told of, or before, where the count does not reach so far. */
function earlier(
  counted: AccessPosition | undefined,
  told: AccessPosition | undefined,
): AccessPosition | undefined {
  if (!counted || !told) return told ?? counted
  if (counted.inode === 0) return { ...told, offset: 0 } // there was no file yet
  return counted.inode === told.inode && counted.offset < told.offset ? counted : told
}

function readPosition(file: string): AccessPosition | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof value !== 'object' || value === null) return undefined
    const { inode, offset } = { inode: 0, offset: 0, ...value }
    return { inode: Number(inode), offset: Number(offset) }
  } catch {
    return undefined // the first start
  }
}
