import type { Readable, Writable } from 'node:stream'
import { cancelled, Failure } from '../core/errors.ts'
import { waitForEnd } from '../core/exec.ts'
import { sendSignal } from '../core/processes.ts'
import { type Program, startProgram } from '../core/spawn.ts'
import { lineSplitter } from '../core/lines.ts'
import { openPty, type Pty, type Terminal } from './pty.ts'

/** Where output goes: a stream, which may push back, or a function called with each line. */
export type Sink = Writable | ((line: string) => void)

export type AttachedIo = {
  /** Nothing at all unless given. */
  stdin?: Readable | 'ignore'
  signal: AbortSignal
  timeoutMs: number
} & (
  | { stdout: Sink; stderr: Sink }
  | { onLine: (line: string) => void }
  /** A terminal has one output only. */
  | { stdout: Writable; terminal: Terminal }
)

/**
 * Runs a program that stands in for one in a container (`runc run`, `runc exec`) with its streams
 * joined to `io`, and returns its exit status when all its output has been handed on. An abort or
 * the deadline means SIGTERM, SIGKILL a second later, and then a Failure; `name` is for people.
 */
export async function attach(
  file: string,
  args: string[],
  name: string,
  io: AttachedIo,
): Promise<number> {
  const late = new AbortController()
  const seconds = io.timeoutMs / 1000
  const timer = setTimeout(() => {
    late.abort(new Failure('failed', `${name} took longer than ${seconds} s`))
  }, io.timeoutMs)
  const signal = AbortSignal.any([io.signal, late.signal])
  try {
    using joined =
      'terminal' in io ? joinTerminal(file, args, io, signal) : joinPipes(file, args, io, signal)
    const ended = waitForEnd(joined.child, { signal, timeoutMs: io.timeoutMs + 60_000 })
    const [code] = await Promise.all([ended, ...joined.outputs])
    if (signal.aborted) throw cancelled(signal)
    return code
  } finally {
    clearTimeout(timer)
  }
}

type Joined = { child: Program; outputs: Promise<void>[] } & Disposable

function joinPipes(
  file: string,
  args: string[],
  io: Exclude<AttachedIo, { terminal: Terminal }>,
  signal: AbortSignal,
): Joined {
  const input = io.stdin instanceof Object ? 'to it' : 'nowhere'
  const child = startProgram(file, args, {
    streams: [input, 'from it', 'from it'],
  })
  const [stdin, stdout, stderr] = child.streams
  const sinks = 'onLine' in io ? { stdout: io.onLine, stderr: io.onLine } : io
  const stopInput = feed(io.stdin, stdin, { end: true })
  return {
    child,
    outputs: [drain(stdout, sinks.stdout, signal), drain(stderr, sinks.stderr, signal)],
    [Symbol.dispose]: () => {
      stopInput()
      stdin?.destroy()
    },
  }
}

/**
 * The program gets our end of a pseudo-terminal, which it passes on to the one it makes inside the
 * container. It is not its controlling terminal, and so a new size is told by a signal of ours.
 */
function joinTerminal(
  file: string,
  args: string[],
  io: Extract<AttachedIo, { terminal: Terminal }>,
  signal: AbortSignal,
): Joined {
  const pty = openPty(io.terminal)
  const child = startAtTerminal(file, args, pty)
  io.terminal.onResize((columns, rows) => {
    pty.resize(columns, rows)
    if (child.exitCode === null) sendSignal(child.pid, 'SIGWINCH')
  })
  // Input that ends says nothing to a terminal: whoever wants to end it types ^D.
  const stopInput = feed(io.stdin, pty.typed, { end: false })
  return {
    child,
    outputs: [drain(pty.output, io.stdout, signal)],
    [Symbol.dispose]: () => {
      stopInput()
      pty.output.destroy()
    },
  }
}

function startAtTerminal(file: string, args: string[], { program, output, closeProgram }: Pty) {
  try {
    return startProgram(file, args, { streams: [program, program, program] })
  } catch (error) {
    output.destroy()
    throw error
  } finally {
    closeProgram()
  }
}

/** Of the one thread that all of the daemon has, lines take a quarter at most. */
const restFactor = 3

/** Meanwhile the program waits for somebody who reads, as it would at a slow terminal. */
function restFrom(source: Readable, ms: number): void {
  source.pause()
  setTimeout(() => source.resume(), ms)
}

function feed(
  source: AttachedIo['stdin'],
  target: Writable | undefined,
  options: { end: boolean },
): () => void {
  if (!target || typeof source !== 'object') return () => {}
  target.on('error', () => {}) // the program need not read all it is given
  source.pipe(target, options)
  return () => void source.unpipe(target)
}

/** Resolves when all output has been handed on, or at an abort, whatever the sink then does. */
function drain(source: Readable | undefined, sink: Sink, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (!source) return Promise.resolve()
  const give = () => source.destroy()
  signal.addEventListener('abort', give, { once: true })
  source.on('error', () => {}) // a terminal reports its end as one
  source.once('close', () => {
    signal.removeEventListener('abort', give)
    resolve()
  })
  if (typeof sink === 'function') {
    const splitter = lineSplitter(sink)
    source.on('data', (chunk: Buffer) => {
      const began = performance.now()
      splitter.write(chunk)
      const tookMs = performance.now() - began
      if (tookMs >= 1) restFrom(source, tookMs * restFactor)
    })
    source.once('end', splitter.end)
  } else {
    source.pipe(sink, { end: false })
    // Nobody listens any more: the program goes on, its output goes nowhere.
    const discard = () => source.resume()
    sink.once('close', discard).once('error', discard)
    source.once('close', () => sink.off('close', discard).off('error', discard))
  }
  return promise
}
