import { setTimeout as delay } from 'node:timers/promises'
import type { HealthCheck } from '../core/app-json.ts'
import { appPort } from '../core/config.ts'
import { Failure, stopIfCancelled } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import { signalOf } from '../core/processes.ts'
import type { Exit, Instance, Limits } from '../core/types.ts'
import { readRecord } from './bundle.ts'
import { longestChecks, passChecks } from './checks.ts'
import { dial, refusal } from './dial.ts'
import { waitForExit } from './exits.ts'
import type { Host } from './host.ts'
import { tailLogs } from './logs.ts'
import { isRefused } from './refused.ts'
import { isLoopback, type Socket, socketsOf } from './processes.ts'

export type Check = { port: number } | { uptimeMs: number } | { checks: HealthCheck[] }

type Waiting = { timeoutMs: number; signal: AbortSignal; warn: (line: string) => void }

const connectTimeoutMs = 1000
const wrongPortAfterMs = 2000
const linesShown = 20

/**
 * Resolves once the container accepts on `port`, has stayed up for `uptimeMs`, or is good by its
 * `checks`. Throws a Failure with its last log lines as soon as it has exited, or at the deadline.
 */
export async function waitUntilReady(
  host: Host,
  instance: Instance,
  check: Check,
  waiting: Waiting,
): Promise<void> {
  stopIfCancelled(waiting.signal)
  using scope = abortable(waiting.signal)
  const timeoutMs = longest(check, waiting.timeoutMs)
  const exited = waitForExit(host, instance.id, {
    timeoutMs: timeoutMs + 5000,
    signal: scope.signal,
  })
  const done = trial(host, instance, check, { ...waiting, signal: scope.signal })
  const ended = exited.then<Exit | string | undefined>((exit) => exit ?? done)
  const first = await Promise.race([ended, done])
  stopIfCancelled(waiting.signal)
  if (first === undefined) return
  if (typeof first === 'string') throw await withLastLines(host, instance, first)
  throw await failureOf(host, instance, first, momentOf(check))
}

/** The Failure, with its last log lines, of one that has exited though it was ready. */
export function endedSince(host: Host, instance: Instance, exit: Exit): Promise<Failure> {
  return failureOf(host, instance, exit, 'after it was ready')
}

/** Resolves with undefined when all is well, or with what was wrong when the time is up. */
async function trial(
  host: Host,
  instance: Instance,
  check: Check,
  waiting: Waiting,
): Promise<string | undefined> {
  if ('port' in check) return accepts(instance, check.port, waiting)
  if ('checks' in check) return passChecks(host, instance, check.checks, waiting)
  await delay(check.uptimeMs, undefined, { signal: waiting.signal }).catch(() => {})
  return undefined
}

function longest(check: Check, timeoutMs: number): number {
  if ('checks' in check) return longestChecks(check.checks, timeoutMs)
  return 'port' in check ? timeoutMs : check.uptimeMs
}

/** Polls the port; returns what was wrong when the time is up. */
async function accepts(
  instance: Instance,
  port: number,
  { timeoutMs, signal, warn }: Waiting,
): Promise<string | undefined> {
  const began = performance.now()
  const type = typeOf(instance)
  let warned = false
  let last = 'nothing'
  while (!signal.aborted) {
    const error = isRefused(instance.address, port)
      ? refusal
      : await dial(instance.address, port, { timeoutMs: connectTimeoutMs, signal })
    if (error === undefined) return undefined
    last = error
    const waited = performance.now() - began
    const elsewhere = waited > wrongPortAfterMs ? wrongPort(type, port, instance.pid) : undefined
    if (waited > timeoutMs) {
      const tried = `${type} did not answer on port ${port} within ${timeoutMs / 1000} s`
      return wrongPort(type, port, instance.pid) ?? `${tried} (last: ${last})`
    }
    if (elsewhere && !warned) warn(` !     ${elsewhere}; still waiting`)
    warned ||= elsewhere !== undefined
    await delay(pauseAfter(waited), undefined, { signal }).catch(() => {})
  }
  return undefined
}

/** So that what is ready is seen at most a sixteenth of its time later, by few looks. Pure. */
function pauseAfter(waitedMs: number): number {
  return Math.min(Math.max(2, waitedMs / 16), 25)
}

/** Why nothing can reach the port although something listens; undefined when nothing does. Pure. */
export function explainSockets(type: string, port: number, sockets: Socket[]): string | undefined {
  const listening = sockets.filter(({ state }) => state === 'listen')
  const open = listening.find(({ address }) => !isLoopback(address))
  const local = listening.find((socket) => socket.port === port) ?? listening[0]
  if (open && open.port !== port)
    return `${type} listens on port ${open.port}, not on $PORT (${port})`
  if (open || !local) return undefined
  return (
    `${type} listens on ${local.address}:${local.port}, which only the app itself can reach; ` +
    `it must listen on 0.0.0.0`
  )
}

function wrongPort(type: string, port: number, pid: number): string | undefined {
  return explainSockets(type, port, socketsOf(pid))
}

async function failureOf(
  host: Host,
  instance: Instance,
  exit: Exit,
  when: string,
): Promise<Failure> {
  const limits = readRecord(host, instance.id)?.limits
  return withLastLines(host, instance, death(typeOf(instance), exit, when, limits))
}

function death(type: string, exit: Exit, when: string, limits?: Limits): string {
  if (exit.oom && limits) {
    return `${type} ran out of memory: it was killed at its limit of ${mebibytes(limits)} MiB`
  }
  const signal = signalOf(exit.code)
  if (signal) return `${type} was killed by signal ${signal} ${when}`
  return `${type} exited with code ${exit.code} ${when}`
}

function momentOf(check: Check): string {
  if ('port' in check) return `before it answered on port ${check.port}`
  if ('checks' in check) return 'before it passed its health checks'
  return `within ${check.uptimeMs / 1000} s of its start`
}

async function withLastLines(host: Host, instance: Instance, sentence: string): Promise<Failure> {
  const { app, id, release } = instance
  const directory = paths(host.config).logs(app)
  const { lines } = await tailLogs(directory, { lines: linesShown, id })
  const more = `more with: logs ${app} --release v${release}`
  const count =
    lines.length === 1 ? 'Its only log line follows' : `Its last ${lines.length} log lines follow`
  const hint = lines.length === 0 ? `It logged nothing; ${more}` : `${count}; ${more}`
  return new Failure('failed', sentence, { hint, details: lines.map(({ text }) => text) })
}

/**
 * Resolves when no connection to the app's port is open, or at the deadline. The router has been
 * switched just before; requests it had already sent may still be on their way, hence two looks.
 */
export async function drained(instance: Instance, timeoutMs: number): Promise<void> {
  const port = instance.port ?? appPort
  const deadline = performance.now() + timeoutMs
  const busy = () => {
    return socketsOf(instance.pid).some((socket) => socket.state === 'open' && socket.port === port)
  }
  for (let quiet = 0; quiet < 2; quiet = busy() ? 0 : quiet + 1) {
    const left = deadline - performance.now()
    if (left <= 0) return
    await delay(Math.min(drainLookMs, left))
  }
}

const drainLookMs = 50

/** A signal that follows `parent` and is aborted at the end of the scope, so that waits end. */
function abortable(parent: AbortSignal): { signal: AbortSignal } & Disposable {
  const own = new AbortController()
  return {
    signal: AbortSignal.any([parent, own.signal]),
    [Symbol.dispose]: () => own.abort(),
  }
}

function typeOf(instance: Instance): string {
  return instance.process.replace(/\.\d+$/, '')
}

function mebibytes(limits: Limits): number {
  return Math.round(limits.memoryBytes / 1024 / 1024)
}
