import { closeSync, constants, openSync, readSync, unlinkSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../core/config.ts'
import { errno, Failure, stopIfCancelled } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import { isAlive, startTime } from '../core/processes.ts'
import type { InstanceSpec } from '../core/types.ts'
import type { Host } from './host.ts'
import { unmount } from './kernel.ts'
import { logFile, logPiecesPerApp } from './log-files.ts'
import { spawnReporting } from './spawn.ts'

/** runc and conmon: the only place that knows their arguments and their files. */

const createTimeoutMs = 30_000
const startTimeoutMs = 10_000
/** One process may fill this much before its log begins anew; the ring keeps the older pieces. */
const logPieceBytes = Math.floor(limits.logBytesPerApp / logPiecesPerApp)

/** The runtime, a Go program, lives too briefly for a garbage collection to be worth its CPU. */
const shortLived = { GOGC: 'off', GOMAXPROCS: '1' }

/**
 * Has a monitor of its own create the container, up to but not into its program. The monitor
 * belongs to nobody: it keeps output and exit status whatever becomes of the daemon.
 * Returns the pid of the container's init.
 */
export async function createContainer(
  host: Host,
  spec: InstanceSpec,
  signal: AbortSignal,
): Promise<number> {
  const monitor = spawnReporting(host.programs.conmon, monitorArguments(host, spec), {
    cwd: paths(host.config).bundle(spec.id),
    env: { _OCI_SYNCPIPE: '3', PATH: process.env.PATH ?? '/usr/sbin:/usr/bin', ...shortLived },
  })
  const late = AbortSignal.timeout(createTimeoutMs)
  const deadline = AbortSignal.any([signal, late])
  try {
    const line = await firstLine(monitor.report, deadline)
    if (line === '' && late.aborted) throw tooLate(spec)
    return createdPid(spec, line)
  } finally {
    monitor.report.destroy()
    await monitor.ended(deadline)
    stopIfCancelled(signal)
  }
}

/**
 * Lets the created container run its program: its init waits until somebody reads one byte from
 * this pipe, which is all that `runc start` would do, a process and many milliseconds later.
 */
export async function startContainer(host: Host, id: string, pid: number): Promise<void> {
  const fifo = join(paths(host.config).runcRoot, id, 'exec.fifo')
  const started = startTime(pid)
  const deadline = performance.now() + startTimeoutMs
  // Not blocking: were the container dead by now, nobody would ever open the other end.
  const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    while (!readByte(fd)) {
      const alive = started !== undefined && isAlive({ pid, startTime: started })
      if (!alive || performance.now() > deadline) {
        throw new Failure('failed', 'The container ended before its program could start')
      }
      await delay(1)
    }
  } finally {
    closeSync(fd)
  }
  unlinkSync(fifo) // what tells the runtime "running" from "created"
}

/**
 * Removes the runtime's state of a container of which no process is left; no error when there is
 * none. It is all that `runc delete` would do once the groups are ours to remove. A runtime that
 * was killed at work may have left a mount of itself in there.
 */
export async function deleteContainer(host: Host, id: string): Promise<void> {
  const state = join(paths(host.config).runcRoot, id)
  const names = await readdir(state).catch(() => [])
  for (const name of names.filter((one) => one.startsWith('runc.'))) {
    unmount(join(state, name), { detach: true })
  }
  await rm(state, { recursive: true, force: true })
}

/** What comes before every verb of runc. */
export function rootArguments(host: Host): string[] {
  return ['--root', paths(host.config).runcRoot]
}

/** The last message of a log that the runtime wrote as JSON. */
export async function lastWords(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '')
  const said = /"msg":"((?:[^"\\]|\\.)*)"/.exec(text.trim().split('\n').at(-1) ?? '')?.[1]
  return said || 'the runtime said nothing'
}

function monitorArguments(host: Host, spec: InstanceSpec): string[] {
  const p = paths(host.config)
  const bundle = p.bundle(spec.id)
  return [
    ['--api-version', '1'],
    ['--cid', spec.id],
    ['--cuuid', spec.id],
    ['--name', spec.id],
    ['--runtime', host.programs.runc()],
    ...rootArguments(host).map((argument) => ['--runtime-arg', argument]),
    ['--bundle', bundle],
    ['--container-pidfile', join(bundle, 'pid')],
    ['--conmon-pidfile', join(bundle, 'monitor.pid')],
    ['--exit-dir', p.exits],
    ['--persist-dir', bundle],
    ['--log-path', `k8s-file:${join(p.logs(spec.app), logFile(spec))}`],
    ['--log-size-max', String(logPieceBytes)],
    ['--log-level', 'error'],
    ['--full-attach'],
    ['--no-sync-log'],
  ].flat()
}

function tooLate({ process: name }: InstanceSpec): Failure {
  const seconds = createTimeoutMs / 1000
  return new Failure('failed', `The container of ${name} was not created within ${seconds} s`)
}

type SyncMessage = { data: number; message?: string }

function createdPid(spec: InstanceSpec, line: string): number {
  const message: unknown = line === '' ? undefined : JSON.parse(line)
  if (isSyncMessage(message) && message.data > 0) return message.data
  const why = isSyncMessage(message) ? message.message : undefined
  throw new Failure('failed', `Could not create the container of ${spec.process}: ${reason(why)}`)
}

/** runc logs in key="value" form; a person wants the sentence in it. */
function reason(text: string | undefined): string {
  const said = /msg="((?:[^"\\]|\\.)*)"/.exec(text ?? '')?.[1]
  const plain = said?.replace(/\\n/g, ' ').replace(/\\(.)/g, '$1')
  return plain?.trim() || text?.trim() || 'the monitor said nothing'
}

function isSyncMessage(value: unknown): value is SyncMessage {
  if (typeof value !== 'object' || value === null) return false
  return 'data' in value && typeof value.data === 'number'
}

async function firstLine(stream: Readable, signal: AbortSignal): Promise<string> {
  for await (const line of createInterface({ input: stream, signal })) return line
  return ''
}

function readByte(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1)) === 1
  } catch (error) {
    if (errno(error) === 'EAGAIN') return false
    throw error
  }
}
