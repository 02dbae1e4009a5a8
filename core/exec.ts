import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { cancelled, Failure, notStarted } from './errors.ts'
import { lineSplitter } from './lines.ts'
import { sendSignal } from './processes.ts'
import type { Program } from './spawn.ts'

/** The only door to child processes: always a file and an argument list, never a shell string. */

export type ExecOptions = {
  cwd?: string
  /** Replaces the daemon's environment entirely when given. */
  env?: Record<string, string>
  /** Written to the child's standard input, which is closed after it; nothing by default. */
  input?: string | Uint8Array
  /** Ends the whole process group when aborted. */
  signal?: AbortSignal
  /** Deadline in milliseconds, 60 s unless given. */
  timeoutMs?: number
  /** Called with each line of stdout and stderr as it comes, a very long one in pieces. */
  onLine?: (line: string) => void
  /** Exit codes that are answers rather than failures; 0 alone by default. */
  accept?: number[]
  /**
   * Kills whoever of the group outlives the program itself, and reads no longer than that takes:
   * for programs of the user's, which may leave a child behind that holds their output open.
   */
  killRest?: boolean
}

/** What ends one day: a child of Node's, or a program started without it. */
type Ending = Pick<ChildProcess, 'pid' | 'exitCode' | 'spawnfile'> & {
  signalCode: NodeJS.Signals | null
  once(event: 'exit', listener: (code: number | null, signal?: NodeJS.Signals) => void): unknown
  once(event: 'error', listener: (error: Error) => void): unknown
}

export type ExecResult = { code: number; stdout: string; stderr: string }

const outputBytesKept = 8 * 1024 * 1024
const restTimeoutMs = 2000

/**
 * Runs a program to its end and returns what it printed (at most 8 MiB of each stream). Throws a
 * Failure when it cannot start, exits with a code not in `accept`, is cancelled, or is late.
 */
export async function exec(
  file: string,
  args: string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  const timeoutMs = options.timeoutMs ?? 60_000
  const child = await start(file, args, options)
  const [stdin, out, err] = child.streams
  const stdout = keep(out, options.onLine)
  const stderr = keep(err, options.onLine)
  stdin?.on('error', () => {}) // a child that closes its stdin early is no error of ours
  if (options.input !== undefined) stdin?.end(options.input)
  const ended = waitForEnd(child, { signal: options.signal, timeoutMs })
  const read = Promise.all([stdout.done, stderr.done])
  const code = await ended
  await (options.killRest ? readRest(child, read) : read)
  const result = { code, stdout: stdout.text(), stderr: stderr.text() }
  if (!(options.accept ?? [0]).includes(code)) throw exitFailure(file, args, result)
  return result
}

async function start(file: string, args: string[], options: ExecOptions): Promise<Program> {
  const { cwd, env, input } = options
  const { startProgram } = await import('./spawn.ts') // not for commands, which start nothing
  const stdin = input === undefined ? 'nowhere' : 'to it'
  return startProgram(file, args, { cwd, env, streams: [stdin, 'from it', 'from it'] })
}

/**
 * Starts a program by Node's own means, as the leader of its own process group: for the command
 * line, and for whoever else must not load core/spawn.ts.
 */
export function spawnGroup(
  file: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string>; stdio: StdioOptions },
): ChildProcess {
  return spawn(file, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: options.stdio,
    detached: true,
  })
}

/**
 * Waits until the child has exited; resolves with its exit code (128 + n for signal n).
 * Abort or deadline: SIGTERM to the group, SIGKILL after one second, then a Failure.
 */
export async function waitForEnd(
  child: Ending,
  limits: { signal?: AbortSignal | undefined; timeoutMs: number },
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', (error) => reject(notStarted(child.spawnfile, error)))
  child.once('exit', (code, signal) => resolve(code ?? 128 + signalNumber(signal ?? null)))
  if (child.exitCode !== null) resolve(child.exitCode)
  let why: Failure | undefined
  const end = (reason: Failure) => {
    why ??= reason
    void killGroup(child, 1000)
  }
  const onAbort = () => end(cancelled(limits.signal as AbortSignal))
  const timer = setTimeout(() => {
    end(new Failure('failed', `${child.spawnfile} took longer than ${limits.timeoutMs / 1000} s`))
  }, limits.timeoutMs)
  if (limits.signal?.aborted) onAbort()
  limits.signal?.addEventListener('abort', onAbort)
  try {
    const code = await promise
    if (why) throw why
    return code
  } finally {
    clearTimeout(timer)
    limits.signal?.removeEventListener('abort', onAbort)
  }
}

/** SIGTERM to the child's group, SIGKILL when it outlives `graceMs`. Safe on one that is gone. */
export async function killGroup(child: Ending, graceMs: number): Promise<void> {
  const pid = child.pid
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  sendSignal(-pid, 'SIGTERM')
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(() => sendSignal(-pid, 'SIGKILL'), graceMs)
  child.once('exit', () => {
    clearTimeout(timer)
    sendSignal(-pid, 'SIGKILL') // whoever of the group outlived its leader
    resolve()
  })
  await promise
}

async function readRest({ pid, streams }: Program, read: Promise<unknown>): Promise<void> {
  sendSignal(-pid, 'SIGKILL')
  await Promise.race([read, pause(restTimeoutMs, undefined, { ref: false })])
  for (const stream of streams) stream?.destroy() // who left the group may hold it for ever
}

function keep(stream: Socket | undefined, onLine?: (line: string) => void) {
  if (!stream) return { text: () => '', done: Promise.resolve() }
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    if (bytes < outputBytesKept) chunks.push(chunk)
    bytes += chunk.length
  })
  if (onLine) {
    const splitter = lineSplitter(onLine)
    stream.on('data', splitter.write).once('close', splitter.end)
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('close', resolve)
  return { text: () => Buffer.concat(chunks).toString('utf8'), done: promise }
}

function exitFailure(file: string, args: string[], result: ExecResult): Failure {
  const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5)
  const line = [file, ...args].join(' ').slice(0, 200)
  return new Failure('failed', `"${line}" exited with ${result.code}: ${said.join(' · ')}`)
}

function signalNumber(signal: NodeJS.Signals | null): number {
  const numbers: Partial<Record<NodeJS.Signals, number>> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGABRT: 6,
    SIGKILL: 9,
    SIGSEGV: 11,
    SIGPIPE: 13,
    SIGTERM: 15,
  }
  return signal ? (numbers[signal] ?? 0) : 0
}
