import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { isIPv4 } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { limits } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { parseAppName, parseDomain } from '../core/names.ts'
import type { Router } from './caddy.ts'
import { hasPage, hidePage } from './maintenance.ts'

/**
 * The only writer of the route table (drawn in routes.ts). Every change is one file that appears or
 * goes, so whoever is killed in between leaves the old route, the new one, or both: never none.
 */

/** `upstreams` as `ip:port`; those of both sets when a switch was cut off in the middle. */
export type Route = { upstreams: string[]; hosts: string[] }

const confirmTimeoutMs = 2_000

/**
 * Sends the app's requests to `upstreams` (`ip:port`, at most 12; none answers 503) and returns
 * once the running Caddy says so itself. On a Failure the app's old route is back.
 */
export async function publish(router: Router, app: string, upstreams: string[]): Promise<void> {
  const { dir, name, others } = replaceRoute(router, app, upstreams)
  try {
    await confirmed(router, app, name)
  } catch (error) {
    if (isOvertaken(router, app, name)) return
    for (const other of others) appear(dir, other)
    if (name && others.length > 0) vanish(dir, name)
    throw error
  }
}

/**
 * As `publish`, asking nobody: for a route that leads to another app's container, or is about to,
 * and may not come back whatever the router says.
 */
export function replaceRoute(router: Router, app: string, upstreams: string[]) {
  const dir = join(router.at.apps, parseAppName(app))
  const name = routeName(upstreams)
  mkdirSync(dir, { recursive: true })
  const others = readdirSync(dir).filter((other) => other !== name)
  if (name) appear(dir, name)
  for (const other of others) vanish(dir, other)
  return { dir, name, others }
}

/**
 * Whether the table has just this of the app already, and no page stands in for it: what `publish`
 * and `setHosts` would do is then done. Costs a few calls of the kernel and asks nobody.
 */
export function isPublished(router: Router, app: string, { upstreams, hosts }: Route): boolean {
  const name = routeName(upstreams)
  const wanted = new Set(hosts.map(parseDomain))
  const linked = router.appOf.of(app)
  if (linked.length !== wanted.size || !linked.every((host) => wanted.has(host))) return false
  if (!linked.every((host) => ownerOnDisk(router, host) === app)) return false
  const names = namesOf(router, app)
  return names.length === (name ? 1 : 0) && names[0] === name && !hasPage(router, linked)
}

/**
 * Makes the app answer to these host names and no others. Throws a Failure, and changes nothing,
 * when one of them leads to another app.
 */
export function setHosts(router: Router, app: string, hosts: string[]): void {
  const name = parseAppName(app)
  const wanted = new Set(hosts.map(parseDomain))
  for (const host of wanted) refuseTaken(router, name, host)
  mkdirSync(join(router.at.apps, name), { recursive: true })
  for (const host of wanted) link(router, name, host)
  for (const host of router.appOf.of(name)) if (!wanted.has(host)) unlink(router, host)
}

/** Makes the app unknown to the router. Safe to repeat. */
export function removeApp(router: Router, app: string): void {
  for (const host of router.appOf.of(app)) unlink(router, host)
  // The last part alone: whatever lies there may go, whatever it is called.
  rmSync(join(router.at.apps, basename(app)), { recursive: true, force: true })
}

/**
 * Makes the routes and hosts of `from` those of `to`; no host is without its route at any moment.
 * Safe to repeat after a kill.
 */
export function renameApp(router: Router, from: string, to: string): void {
  const dir = join(router.at.apps, parseAppName(to))
  mkdirSync(dir, { recursive: true })
  for (const name of namesOf(router, from)) appear(dir, name)
  for (const host of [...router.appOf.of(from)]) {
    const beside = join(router.at.routes, 'moving')
    rmSync(beside, { force: true })
    symlinkSync(join('..', 'a', to), beside)
    renameSync(beside, join(router.at.hosts, host))
    router.appOf.set(host, to)
  }
  removeApp(router, from)
}

/** The whole table by app, as it is on disk. */
export function listRoutes(router: Router): Map<string, Route> {
  const routes = new Map<string, Route>()
  for (const app of readdirSync(router.at.apps)) {
    const names = namesOf(router, app)
    const upstreams = [...new Set(names.flatMap((name) => name.split(',')))]
    routes.set(app, { upstreams, hosts: [] })
  }
  for (const [host, app] of router.appOf) {
    const route = routes.get(app) ?? { upstreams: [], hosts: [] }
    route.hosts.push(host)
    routes.set(app, route)
  }
  return routes
}

/** The file name that is the data; undefined for no upstreams. */
function routeName(upstreams: string[]): string | undefined {
  const unique = [...new Set(upstreams)].sort()
  const bad = unique.find((upstream) => !isUpstream(upstream))
  if (bad !== undefined) throw new Error(`"${bad}" is not an upstream: expected ip:port`)
  if (unique.length > limits.routeUpstreams) {
    throw new Failure('failed', `${unique.length} web processes are more than the router can use`, {
      hint: `Use at most ${limits.routeUpstreams}: ps:scale web=${limits.routeUpstreams}`,
    })
  }
  return unique.length === 0 ? undefined : unique.join(',')
}

function isUpstream(text: string): boolean {
  const [address = '', port = '', ...rest] = text.split(':')
  const portOk = /^[1-9][0-9]{0,4}$/.test(port) && Number(port) <= 65535
  return isIPv4(address) && portOk && rest.length === 0
}

/** Of two names the router takes the newer, so one that was there already becomes new. */
function appear(dir: string, name: string): void {
  closeSync(openSync(join(dir, name), 'a', 0o644))
  utimesSync(join(dir, name), new Date(), new Date())
}

function vanish(dir: string, name: string): void {
  rmSync(join(dir, name), { force: true })
}

/** Asks the running Caddy, by one of the app's hosts, until it finds just this route. */
async function confirmed(router: Router, app: string, name: string | undefined): Promise<void> {
  const [host] = router.appOf.of(app)
  if (host === undefined) return // nothing leads to the app, so nobody can see a difference
  const deadline = Date.now() + confirmTimeoutMs
  let seen: string | undefined
  do {
    seen = routeName(await router.api.confirm(host))
    if (seen === name || isOvertaken(router, app, name)) return
    await pause(5)
  } while (Date.now() < deadline)
  const [wanted, found] = [name ?? 'no upstream', seen ?? 'no upstream']
  throw new Failure(
    'failed',
    `The router was switched to ${wanted} for ${host}, and ${confirmTimeoutMs / 1000} s later ` +
      `it still finds ${found}`,
    { hint: 'The old route is back; `doctor` tells how the router is' },
  )
}

/** A later call has moved the app on; what requests see now is that call's to confirm. */
function isOvertaken(router: Router, app: string, name: string | undefined): boolean {
  const present = namesOf(router, app)
  return name === undefined ? present.length > 0 : !present.includes(name)
}

function namesOf(router: Router, app: string): string[] {
  try {
    return readdirSync(join(router.at.apps, app))
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}

function refuseTaken(router: Router, app: string, host: string): void {
  const owner = ownerOnDisk(router, host)
  if (owner === undefined || owner === app) return
  throw new Failure('failed', `${host} already leads to the app "${owner}"`, {
    hint: `To move it: domains:remove ${owner} ${host}`,
  })
}

function ownerOnDisk(router: Router, host: string): string | undefined {
  try {
    return basename(readlinkSync(join(router.at.hosts, host)))
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}

/** symlink(2) never replaces: two apps cannot take the same host, whatever their timing. */
function link(router: Router, app: string, host: string): void {
  try {
    symlinkSync(join('..', 'a', app), join(router.at.hosts, host))
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error
    refuseTaken(router, app, host)
  }
  router.appOf.set(host, app)
}

function unlink(router: Router, host: string): void {
  try {
    unlinkSync(join(router.at.hosts, host))
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
  }
  hidePage(router, [host])
  router.appOf.delete(host)
}
