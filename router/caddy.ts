import { chmodSync, chownSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { closeSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { PaasConfig } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { exec, spawnGroup } from '../core/exec.ts'
import { log } from '../core/log.ts'
import { paths } from '../core/names.ts'
import { load, ping } from './caddy-api.ts'
import { caddyConfig } from './routes.ts'

/** Where the running router is to be found. */
export type Router = { routes: string; adminSocket: string; confirmSocket: string; dir: string }

const readyTimeoutMs = 15_000
const stopTimeoutMs = 5000
const logBytesMost = 4 * 1024 * 1024

/**
 * Makes sure that Caddy runs with our configuration: adopts one that does, tells one that has an
 * older configuration, starts one where none runs. It is no child of ours and outlives us.
 * Throws a Failure with Caddy's last words when it cannot start.
 */
export async function openRouter(config: PaasConfig): Promise<Router> {
  const router = describe(config)
  makeDirectories(config)
  const wanted = JSON.stringify(caddyConfig(config, { caddyVersion: await caddyVersion() }))
  const file = join(router.dir, 'config.json')
  if (!isRunning(router)) {
    replaceFile(file, wanted)
    await start(config, router, file)
  } else if (readText(file) !== wanted) {
    await load(router.adminSocket, JSON.parse(wanted))
    replaceFile(file, wanted)
  }
  return router
}

/** Whether Caddy is there: a look at its process, cheap enough for every tick. */
export function isRunning(router: Router): boolean {
  return pidOf(router) !== undefined
}

/** Stops Caddy, lets open requests end for a moment, and removes its directory and the routes. */
export async function closeRouter(config: PaasConfig): Promise<void> {
  const router = describe(config)
  const pid = pidOf(router)
  if (pid !== undefined) {
    process.kill(pid, 'SIGTERM')
    const deadline = Date.now() + stopTimeoutMs
    while (pidOf(router) !== undefined) {
      if (Date.now() > deadline) process.kill(pid, 'SIGKILL')
      await pause(10)
    }
  }
  for (const dir of [router.dir, router.routes]) rmSync(dir, { recursive: true, force: true })
}

function describe(config: PaasConfig): Router {
  const { caddy: dir, routes } = paths(config)
  return {
    dir,
    routes,
    adminSocket: join(dir, 'admin.sock'),
    confirmSocket: join(dir, 'confirm.sock'),
  }
}

async function start(config: PaasConfig, router: Router, file: string): Promise<void> {
  for (const socket of [router.adminSocket, router.confirmSocket]) rmSync(socket, { force: true })
  const logFile = join(router.dir, 'caddy.log')
  if (sizeOf(logFile) > logBytesMost) renameSync(logFile, `${logFile}.old`)
  const out = openSync(logFile, 'a', 0o600)
  const from = sizeOf(logFile)
  const child = spawnGroup('setpriv', startArguments(file), {
    cwd: '/',
    env: { ...environment(config), HOME: paths(config).certificates },
    stdio: ['ignore', out, out],
  })
  closeSync(out)
  child.unref()
  writeFileSync(join(router.dir, 'pid'), String(child.pid))
  const deadline = Date.now() + readyTimeoutMs
  while (!(await answers(router))) {
    if (child.exitCode !== null || Date.now() > deadline) throw startFailure(logFile, from)
    await pause(10)
  }
  log('router-started', { pid: child.pid })
}

/** Not root: all that Caddy may do beyond its own files is listen on low ports. */
function startArguments(file: string): string[] {
  const { name } = user()
  return [
    `--reuid=${name}`,
    `--regid=${name}`,
    '--clear-groups',
    '--inh-caps=-all,+net_bind_service',
    '--ambient-caps=-all,+net_bind_service',
    '--bounding-set=-all,+net_bind_service',
    '--no-new-privs',
    '--',
    'caddy',
    'run',
    '--config',
    file,
  ]
}

function environment(config: PaasConfig): Record<string, string> {
  const { certificates } = paths(config)
  return {
    PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    XDG_DATA_HOME: certificates,
    XDG_CONFIG_HOME: certificates,
  }
}

function makeDirectories(config: PaasConfig): void {
  const { caddy, routes, certificates } = paths(config)
  const { uid, gid } = user()
  for (const dir of [caddy, certificates]) {
    mkdirSync(dir, { recursive: true })
    chownSync(dir, uid, gid)
    chmodSync(dir, 0o700) // its sockets are for Caddy itself and root
  }
  for (const dir of ['a', 'h', 'n']) mkdirSync(join(routes, dir), { recursive: true })
}

/** The package's own user, or the one that may do nothing. */
function user(): { name: string; uid: number; gid: number } {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  for (const wanted of ['caddy', 'nobody']) {
    const [name, , uid, gid] = lines.find((line) => line.startsWith(`${wanted}:`))?.split(':') ?? []
    if (name) return { name, uid: Number(uid), gid: Number(gid) }
  }
  throw new Failure('failed', 'There is no user "caddy" to run the router as', {
    hint: 'apt-get install caddy',
  })
}

async function caddyVersion(): Promise<string> {
  const { stdout } = await exec('caddy', ['version'])
  return /v?(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? '2.6.0'
}

/** The pid in the file, when that process is this instance's Caddy and not one that got its number. */
function pidOf(router: Router): number | undefined {
  const pid = Number(readText(join(router.dir, 'pid')))
  const words = readText(`/proc/${pid}/cmdline`)?.split('\0') ?? []
  return words.includes(join(router.dir, 'config.json')) ? pid : undefined
}

async function answers(router: Router): Promise<boolean> {
  return ping(router.adminSocket).then(
    () => true,
    () => false,
  )
}

function startFailure(logFile: string, from: number): Failure {
  const text = readFileSync(logFile).subarray(from).toString('utf8').trim()
  const lines = text.split('\n').slice(-3)
  const taken = /listening on ([^:]*:\d+): .*address already in use/.exec(text)
  const sentence = taken
    ? `The router could not start: something else listens on ${taken[1]}`
    : 'The router (Caddy) could not start'
  const hint = taken
    ? 'Stop that, or choose other ports: PAAS_HTTP_PORT, PAAS_HTTPS_PORT'
    : undefined
  return new Failure('failed', sentence, { details: lines, ...(hint ? { hint } : {}) })
}

function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ESRCH') return undefined
    throw error
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
