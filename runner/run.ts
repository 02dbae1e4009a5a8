import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { cancelled, Failure, stopIfCancelled } from '../core/errors.ts'
import { spawnGroup, waitForEnd } from '../core/exec.ts'
import { paths } from '../core/names.ts'
import type { Exit, InstanceSpec } from '../core/types.ts'
import { makeBundle } from './bundle.ts'
import { makeExit } from './exits.ts'
import type { Host } from './host.ts'
import { lineSplitter } from './lines.ts'
import { pidIn } from './processes.ts'
import { rootArguments } from './runtime.ts'
import { removeInstance } from './stop.ts'

/** Where output goes: a stream, which may push back, or a function called with each line. */
export type Sink = Writable | ((line: string) => void)

export type AttachedIo = {
  /** Nothing at all unless given. */
  stdin?: Readable | 'ignore'
  signal: AbortSignal
  timeoutMs: number
} & ({ stdout: Sink; stderr: Sink } | { onLine: (line: string) => void })

/**
 * Runs a container in the foreground to its end and removes it: for builds and one-off commands.
 * An abort or the deadline means SIGTERM, SIGKILL to everything in it a second later, and then a
 * Failure. With `keepScratch` what it wrote stays at `paths.scratch(id)/upper` for the caller, who
 * then calls removeScratch.
 */
export async function runAttached(
  host: Host,
  spec: InstanceSpec,
  io: AttachedIo,
  options: { keepScratch?: boolean } = {},
): Promise<Exit> {
  stopIfCancelled(io.signal)
  const undo = { keepScratch: false }
  try {
    const bundle = await makeBundle(host, spec)
    const exit = await attach(host, spec, bundle, io)
    undo.keepScratch = options.keepScratch ?? false
    return exit
  } finally {
    await removeInstance(host, spec.id, undo)
  }
}

/** Removes what `keepScratch` left. */
export async function removeScratch(host: Host, id: string): Promise<void> {
  await rm(paths(host.config).scratch(id), { recursive: true, force: true })
}

async function attach(
  host: Host,
  spec: InstanceSpec,
  bundle: string,
  io: AttachedIo,
): Promise<Exit> {
  const late = new AbortController()
  const seconds = io.timeoutMs / 1000
  const timer = setTimeout(() => {
    late.abort(new Failure('failed', `${spec.process} took longer than ${seconds} s`))
  }, io.timeoutMs)
  const signal = AbortSignal.any([io.signal, late.signal])
  const child = spawnGroup(host.programs.runc, runArguments(host, spec.id, bundle), {
    stdio: [io.stdin instanceof Object ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  })
  const ended = waitForEnd(child, { signal, timeoutMs: io.timeoutMs + 60_000 })
  try {
    using input = new DisposableStack()
    input.use(feed(io.stdin, child.stdin))
    const sinks = 'onLine' in io ? { stdout: io.onLine, stderr: io.onLine } : io
    const outputs = [
      drain(child.stdout, sinks.stdout, signal),
      drain(child.stderr, sinks.stderr, signal),
    ]
    const [code] = await Promise.all([ended, ...outputs])
    if (signal.aborted) throw cancelled(signal)
    if (pidIn(join(bundle, 'pid')) === undefined) throw await creationFailure(spec, bundle)
    return makeExit(host, spec.id, code)
  } finally {
    clearTimeout(timer)
  }
}

function runArguments(host: Host, id: string, bundle: string): string[] {
  const log = ['--log', join(bundle, 'runtime.log'), '--log-format', 'json']
  // --keep: its control group is still to be asked whether memory ran out.
  const run = ['run', '--keep', '--bundle', bundle, '--pid-file', join(bundle, 'pid'), id]
  return [...rootArguments(host), ...log, ...run]
}

function feed(source: AttachedIo['stdin'], target: Writable | null): Disposable {
  if (!target || typeof source !== 'object') return { [Symbol.dispose]: () => {} }
  target.on('error', () => {}) // the program need not read all it is given
  source.pipe(target)
  return {
    [Symbol.dispose]: () => {
      source.unpipe(target)
      target.destroy()
    },
  }
}

/** Resolves when all output has been handed on, or at an abort, whatever the sink then does. */
function drain(source: Readable | null, sink: Sink, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (!source) return Promise.resolve()
  const give = () => source.destroy()
  signal.addEventListener('abort', give, { once: true })
  source.on('error', () => {})
  source.once('close', () => {
    signal.removeEventListener('abort', give)
    resolve()
  })
  if (typeof sink === 'function') {
    const splitter = lineSplitter(sink)
    source.on('data', splitter.write)
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

async function creationFailure(spec: InstanceSpec, bundle: string): Promise<Failure> {
  const text = await readFile(join(bundle, 'runtime.log'), 'utf8').catch(() => '')
  const said = /"msg":"((?:[^"\\]|\\.)*)"/.exec(text.trim().split('\n').at(-1) ?? '')?.[1]
  return new Failure(
    'failed',
    `Could not create the container of ${spec.process}: ${said ?? 'the runtime said nothing'}`,
  )
}
