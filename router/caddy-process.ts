import { closeSync, openSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { PaasConfig } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { isAlive, readProc, sendSignal, startTime } from '../core/processes.ts'
import { startProgram, type Stream } from '../core/spawn.ts'
import type { CaddyApi } from './caddy-api.ts'
import type { HostUser } from './directories.ts'
import { caddyConfig, routerPaths } from './routes.ts'

/** One process for certain: its number may come round again, its number and start time do not. */
export type CaddyProcess = { pid: number; startTime: number; version: string }

const startTimeoutMs = 15_000

/**
 * Starts Caddy in a session of its own, as `user`, with no capability but to bind low ports.
 * Returns when it serves; throws a Failure with its last words when it does not come up.
 */
export async function startCaddy(
  config: PaasConfig,
  user: HostUser,
  api: CaddyApi,
): Promise<CaddyProcess> {
  const at = routerPaths(config)
  const version = await installedVersion()
  // Caddy sets SO_REUSEPORT: beside another Caddy it would start, and get half of the requests.
  await refuseTakenPort(config.httpPort, 'PAAS_HTTP_PORT')
  await refuseTakenPort(config.httpsPort, 'PAAS_HTTPS_PORT')
  const text = JSON.stringify(caddyConfig(config, { caddyVersion: version }), null, 2)
  writeFileSync(at.config, text, { mode: 0o644 })
  const running = record(at.pid, spawnCaddy(at, user), version)
  await untilItServes(at.startLog, running, api)
  return running
}

/** The recorded process if it lives, otherwise undefined. */
export function readProcess(pidFile: string): CaddyProcess | undefined {
  const recorded = parseProcess(read(pidFile))
  return recorded && isAlive(recorded) ? recorded : undefined
}

/**
 * Caddies that read our configuration, recorded or not: they go by their own command line, for the
 * run directory may have been removed with everything that told of them.
 */
export function findProcesses(configFile: string): CaddyProcess[] {
  const wanted = caddyCommand(configFile)
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const pid = Number(name)
      const words = readProc(`${pid}/cmdline`)?.split('\0').slice(0, -1) ?? []
      const began = startTime(pid)
      if (began === undefined) return []
      const isOurs = isDeepStrictEqual(words.slice(-wanted.length), wanted)
      return isOurs ? [{ pid, startTime: began, version: '' }] : []
    })
}

/** SIGTERM, and SIGKILL when it outlives `graceMs`. */
export async function endProcess(running: CaddyProcess, graceMs: number): Promise<void> {
  sendSignal(running.pid, 'SIGTERM')
  const patience = Date.now() + graceMs
  while (isAlive(running) && Date.now() < patience) await pause(20)
  if (!isAlive(running)) return
  sendSignal(running.pid, 'SIGKILL')
  const deadline = Date.now() + 5_000
  while (isAlive(running) && Date.now() < deadline) await pause(20)
  if (isAlive(running)) {
    throw new Failure('failed', `Caddy (process ${running.pid}) did not end within 5 s of SIGKILL`)
  }
}

async function installedVersion(): Promise<string> {
  const { stdout } = await exec('caddy', ['version'], { timeoutMs: 10_000 })
  return stdout.trim().split(/\s+/)[0] ?? ''
}

async function refuseTakenPort(port: number, variable: string): Promise<void> {
  const server = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('listening', resolve)
  server.once('error', reject)
  server.listen({ port, exclusive: true })
  try {
    await promise
  } catch (error) {
    if (errno(error) !== 'EADDRINUSE') throw error
    throw new Failure('failed', `The router cannot listen on port ${port}: it is already in use`, {
      hint: `Stop who has it (ss -ltnp 'sport = :${port}'), or choose another port with ${variable}`,
      cause: error,
    })
  } finally {
    server.close()
  }
}

function spawnCaddy(at: ReturnType<typeof routerPaths>, user: HostUser): number {
  const words = openSync(at.startLog, 'w', 0o600) // its first words; then it logs where config says
  const only = '-all,+net_bind_service'
  const privileges = [
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    '--clear-groups',
    `--inh-caps=${only}`,
    `--ambient-caps=${only}`,
    `--bounding-set=${only}`,
    '--no-new-privs',
  ]
  const command = [...privileges, '--', ...caddyCommand(at.config)]
  const env = {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: at.state,
    XDG_DATA_HOME: at.state,
    XDG_CONFIG_HOME: at.state,
  }
  try {
    const streams: Stream[] = ['nowhere', words, words]
    return startProgram('setpriv', command, { cwd: '/', env, streams }).pid
  } finally {
    closeSync(words)
  }
}

function caddyCommand(configFile: string): string[] {
  return ['caddy', 'run', '--config', configFile]
}

function record(pidFile: string, pid: number, version: string): CaddyProcess {
  const running = { pid, startTime: startTime(pid) ?? 0, version }
  writeFileSync(`${pidFile}.new`, JSON.stringify(running))
  renameSync(`${pidFile}.new`, pidFile)
  return running
}

async function untilItServes(startLog: string, running: CaddyProcess, api: CaddyApi) {
  const deadline = Date.now() + startTimeoutMs
  while (isAlive(running) && Date.now() < deadline) {
    if (await api.ping()) return
    await pause(20)
  }
  const why = isAlive(running) ? `is not ready after ${startTimeoutMs / 1000} s` : 'exited at once'
  const details = read(startLog).trim().split('\n').slice(-5)
  if (isAlive(running)) await endProcess(running, 0)
  throw new Failure('failed', `Caddy was started and ${why}`, {
    hint: `Its last lines follow; all of them: ${startLog}`,
    details,
  })
}

function parseProcess(text: string): CaddyProcess | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    const { pid, startTime: began, version } = value as Record<string, unknown>
    if (typeof pid !== 'number' || !(Number(began) > 0)) return undefined
    return { pid, startTime: Number(began), version: typeof version === 'string' ? version : '' }
  } catch {
    return undefined // no file, or half of one from before a crash
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (errno(error) === 'ENOENT') return ''
    throw error
  }
}
