import { closeSync, fstatSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { PaasConfig } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { exec, type ExecOptions, type ExecResult, spawnGroup } from '../core/exec.ts'
import { paths } from '../core/names.ts'
import { claimDirectory } from '../core/own-directory.ts'
import { checkPorts } from './ports.ts'
import { repository } from './script.ts'
import { ownsService, serviceFailed, startService } from './service.ts'

const readyTimeoutMs = 60_000
const pollMs = 25
const linesShown = 20
const logBytesMost = 10 * 1024 * 1024

/**
 * Starts the daemon unless it runs, and waits until it answers on its socket: as the service where
 * this instance is one, else as a process of its own that outlives us, its log in the state
 * directory. Throws a Failure with the log's last lines when it ends or is late.
 */
export async function startDaemon(config: PaasConfig): Promise<'started' | 'running'> {
  if (await answers(config)) return 'running'
  await checkPorts(config)
  await claimDirectory('PAAS_HOME', config.home)
  if (ownsService(config)) {
    await startService()
    await untilReady(config, serviceFailed, readJournal)
  } else {
    await startProcess(config)
  }
  return 'started'
}

/** Runs a `paas` command over the local socket. */
export async function paas(args: string[], options: ExecOptions = {}): Promise<ExecResult> {
  return exec(process.execPath, [join(repository, 'daemon/cli.ts'), ...args], options)
}

/** Does a daemon listen on this instance's socket? */
export async function answers(config: PaasConfig): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = createConnection(paths(config).socket)
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  const is = await promise
  socket.destroy()
  return is
}

async function startProcess(config: PaasConfig): Promise<void> {
  const { daemonLog } = paths(config)
  mkdirSync(dirname(daemonLog), { recursive: true })
  keepLogShort(daemonLog)
  const log = openSync(daemonLog, 'a', 0o640)
  const from = fstatSync(log).size
  const daemon = spawnGroup(process.execPath, [join(repository, 'daemon/main.ts')], {
    cwd: '/',
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  let ended = false
  daemon.once('exit', () => (ended = true)).once('error', () => (ended = true))
  await untilReady(
    config,
    () => ended,
    () => readFrom(daemonLog, from),
  )
  daemon.unref()
}

async function untilReady(
  config: PaasConfig,
  ended: () => boolean | Promise<boolean>,
  words: () => Promise<string>,
): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs
  while (!(await answers(config))) {
    const late = Date.now() > deadline
    if (late || (await ended())) {
      const seen = late ? `it did not answer within ${readyTimeoutMs / 1000} s` : 'it ended at once'
      throw new Failure('failed', `Could not start the daemon: ${seen}`, {
        hint: 'Its last words follow; mend the cause and run this again',
        details: (await words()).trimEnd().split('\n').slice(-linesShown),
      })
    }
    await pause(pollMs)
  }
}

async function readFrom(file: string, from: number): Promise<string> {
  return (await readFile(file)).subarray(from).toString('utf8')
}

async function readJournal(): Promise<string> {
  return (await exec('journalctl', ['--unit=paas', '--no-pager', `--lines=${linesShown}`])).stdout
}

/** One earlier log is kept beside the present one. */
function keepLogShort(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (size > logBytesMost) renameSync(file, `${file}.1`)
}
