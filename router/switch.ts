import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { errno, Failure } from '../core/errors.ts'
import type { Router } from './caddy.ts'
import { findRoute } from './caddy-api.ts'
import { parseRouteName, routeName } from './routes.ts'

/**
 * The route table, as files (see routes.ts). The calls are synchronous: each is a few microseconds
 * on tmpfs, and none can be overtaken by another. A kill between any two of them leaves the old
 * route, the new one or both, never none.
 */

const confirmTimeoutMs = 3000
const confirmIntervalMs = 2

/** Leads the app's hosts to `upstreams` (`ip:port`), none at all included, and confirms it. */
export async function publish(router: Router, app: string, upstreams: string[]): Promise<void> {
  const dir = join(router.routes, 'a', app)
  mkdirSync(dir, { recursive: true })
  const wanted = upstreams.length > 0 ? routeName(upstreams) : undefined
  const present = readdirSync(dir)
  if (wanted !== undefined && !present.includes(wanted)) writeFileSync(join(dir, wanted), '')
  const old = present.filter((name) => name !== wanted)
  for (const name of old) rmSync(join(dir, name), { force: true })
  if (wanted !== undefined && (old.length > 0 || !present.includes(wanted))) {
    await confirm(router, app, wanted)
  }
}

/** Makes `hosts` the app's names, all others of it forgotten. Throws when another app has one. */
export function setHosts(router: Router, app: string, hosts: string[]): void {
  const names = join(router.routes, 'n', app)
  mkdirSync(join(router.routes, 'a', app), { recursive: true })
  mkdirSync(names, { recursive: true })
  for (const host of hosts) link(router, app, host)
  for (const host of readdirSync(names)) {
    if (!hosts.includes(host)) unlink(router, app, host)
  }
}

export function removeApp(router: Router, app: string): void {
  for (const host of list(join(router.routes, 'n', app))) unlink(router, app, host)
  rmSync(join(router.routes, 'a', app), { recursive: true, force: true })
  rmSync(join(router.routes, 'n', app), { recursive: true, force: true })
}

/** Upstreams by app, as the table has them. */
export function listRoutes(router: Router): Map<string, string[]> {
  const apps = list(join(router.routes, 'a'))
  return new Map(
    apps.map((app) => [app, list(join(router.routes, 'a', app)).flatMap(parseRouteName)]),
  )
}

/** Asks Caddy what it finds, so that a switch is done when requests see it, not when we wrote it. */
async function confirm(router: Router, app: string, wanted: string): Promise<void> {
  const [host] = list(join(router.routes, 'n', app))
  if (host === undefined) return
  const deadline = Date.now() + confirmTimeoutMs
  let seen = ''
  while (Date.now() < deadline) {
    seen = await findRoute(router.confirmSocket, host)
    if (seen.endsWith(`/${wanted}`)) return
    // A later call may have moved the app on; then it is that call's to confirm.
    if (!list(join(router.routes, 'a', app)).includes(wanted)) return
    await pause(confirmIntervalMs)
  }
  throw new Failure('failed', `The router does not see the new route of ${app}`, {
    hint: `It sees "${seen}" for ${host}; check it with: doctor`,
  })
}

function link(router: Router, app: string, host: string): void {
  const path = join(router.routes, 'h', host)
  const target = `../a/${app}`
  const present = readLink(path)
  if (present !== undefined && present !== target) {
    throw new Failure('failed', `${host} already leads to another app`)
  }
  writeFileSync(join(router.routes, 'n', app, host), '')
  if (present === undefined) symlinkSync(target, path)
}

function unlink(router: Router, app: string, host: string): void {
  const path = join(router.routes, 'h', host)
  if (readLink(path) === `../a/${app}`) rmSync(path, { force: true })
  rmSync(join(router.routes, 'n', app, host), { force: true })
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}
