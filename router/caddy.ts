import { readdirSync, readlinkSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { PaasConfig } from '../core/config.ts'
import { errno } from '../core/errors.ts'
import { log } from '../core/log.ts'
import { isAlive } from '../core/processes.ts'
import { type CaddyApi, caddyApi } from './caddy-api.ts'
import {
  type CaddyProcess,
  endProcess,
  findProcesses,
  readProcess,
  startCaddy,
} from './caddy-process.ts'
import { removeHalfWritten } from './certificates.ts'
import { makeDirectories } from './directories.ts'
import { HostMap } from './host-map.ts'
import { caddyConfig, routerPaths } from './routes.ts'

/** A running Caddy and its table of routes. Opening it again is cheap and leaks nothing. */
export type Router = {
  at: ReturnType<typeof routerPaths>
  api: CaddyApi
  /** Which app each host leads to: what `routes/h` says, kept in step by switch.ts. */
  appOf: HostMap
}

const hungTimeoutMs = 10_000
/** A little more than the grace that Caddy gives its own connections. */
const stopTimeoutMs = 12_000

/**
 * Takes over the Caddy that runs, or starts one; it outlives the caller. A configuration that
 * differs from what this version of ours would write is loaded; routes are never touched.
 */
export async function openRouter(config: PaasConfig): Promise<Router> {
  const at = routerPaths(config)
  const api = caddyApi(at)
  const user = makeDirectories(config)
  const running = readProcess(at.pid)
  if (running && (await answers(api, running))) {
    await loadIfChanged(api, config, running)
  } else {
    await stop(at, api)
    removeHalfWritten(at.state)
    const { version, pid } = await startCaddy(config, user, api)
    log('caddy-started', { pid, version })
  }
  return { at, api, appOf: readHosts(at.hosts) }
}

/** Whether the router's Caddy lives; costs one read of /proc. */
export function isRunning(router: Router): boolean {
  return readProcess(router.at.pid) !== undefined
}

/** Stops Caddy, whoever started it. Its certificates, logs and routes stay. */
export async function closeRouter(config: PaasConfig): Promise<void> {
  const at = routerPaths(config)
  await stop(at, caddyApi(at))
}

/** A Caddy that is alive and silent may be starting, or busy; only then is it worth a wait. */
async function answers(api: CaddyApi, running: CaddyProcess): Promise<boolean> {
  const deadline = Date.now() + hungTimeoutMs
  while (isAlive(running)) {
    if (await api.ping()) return true
    if (Date.now() > deadline) {
      log('caddy-hung', { pid: running.pid })
      return false
    }
    await pause(50)
  }
  return false
}

async function loadIfChanged(api: CaddyApi, config: PaasConfig, running: CaddyProcess) {
  const wanted = caddyConfig(config, { caddyVersion: running.version })
  const same = isDeepStrictEqual(await api.currentConfig(), JSON.parse(JSON.stringify(wanted)))
  if (same) return
  await api.load(wanted)
  log('caddy-reloaded', { pid: running.pid })
}

async function stop(at: Router['at'], api: CaddyApi): Promise<void> {
  const running = readProcess(at.pid)
  if (running) await endProcess(running, stopTimeoutMs)
  else if (await api.ping()) await stopUnrecorded(api)
  for (const orphan of findProcesses(at.config)) {
    log('caddy-orphan', { pid: orphan.pid })
    await endProcess(orphan, stopTimeoutMs)
  }
  rmSync(at.pid, { force: true })
  rmSync(at.adminSocket, { force: true })
  rmSync(at.confirmSocket, { force: true })
}

/** A daemon was killed between starting Caddy and writing down which process it is. */
async function stopUnrecorded(api: CaddyApi): Promise<void> {
  const deadline = Date.now() + stopTimeoutMs
  await api.stop()
  while ((await api.ping()) && Date.now() < deadline) await pause(50)
}

function readHosts(dir: string): HostMap {
  const hosts = new HostMap()
  for (const host of readdirSync(dir)) {
    try {
      hosts.set(host, basename(readlinkSync(join(dir, host))))
    } catch (error) {
      if (errno(error) !== 'EINVAL' && errno(error) !== 'ENOENT') throw error // no link of ours
    }
  }
  return hosts
}
