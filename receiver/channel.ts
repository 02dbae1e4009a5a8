import type { Socket } from 'node:net'
import { PassThrough, Transform } from 'node:stream'
import type { ServerChannel, Session as SshSession } from 'ssh2'
import { cancelled, Failure, failureLines, statusOf } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import type { Identity } from '../core/types.ts'
import { channelOutput, finish } from './output.ts'
import { parseRequest } from './request.ts'
import type { Doors, Session, Terminal } from './session.ts'

/** What a connection lends to each of its channels. `gone` aborts when the connection is lost. */
export type Link = { socket: Socket; identity: Identity; gone: AbortSignal; doors: Doors }

const interrupt = 0x03

/**
 * Serves one session channel: collects what the client asks for (environment, terminal), runs its
 * one command, sends the exit status once all output is out. Resolves when nothing of it is left.
 */
export function serveChannel(ssh: SshSession, link: Link): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const env: Record<string, string> = {}
  let terminal: TerminalState | null = null
  ssh.on('error', () => {})
  const closed = new AbortController()
  ssh.on('close', () => closed.abort(disconnected()))
  const gone = AbortSignal.any([closed.signal, link.gone])
  gone.addEventListener('abort', () => !started && resolve(), { once: true })
  ssh.on('env', (accept, _reject, { key, val }) => {
    if (acceptsEnv(key, val, env)) env[key] = val
    optional(accept)?.()
  })
  ssh.on('pty', (accept, _reject, info) => {
    terminal ??= newTerminal(info.term, info.cols, info.rows)
    optional(accept)?.()
  })
  ssh.on('window-change', (accept, _reject, info) => {
    terminal?.resize(info.cols, info.rows)
    optional(accept)?.()
  })
  let started = false
  const start = (accept: () => ServerChannel, line: string) => {
    if (started) return
    started = true
    const run = { ssh, channel: accept(), link, gone, env, terminal }
    resolve(serve(run, line))
  }
  ssh.on('exec', (accept, _reject, info) => start(accept, info.command))
  ssh.on('shell', (accept) => start(accept, ''))
  return promise
}

type Run = {
  ssh: SshSession
  channel: ServerChannel
  link: Link
  gone: AbortSignal
  env: Record<string, string>
  terminal: TerminalState | null
}

async function serve(run: Run, line: string): Promise<void> {
  const { channel, gone } = run
  channel.on('error', () => {})
  channel.stderr.on('error', () => {})
  const session = openSession(run)
  let code: number
  try {
    code = await dispatch(session, line, run.link.doors)
  } catch (thrown) {
    const error = isCancel(thrown, session.signal) ? cancelled(session.signal) : thrown
    code = statusOf(error)
    if (!(error instanceof Failure)) logError('ssh request failed', error)
    session.stderr.write(
      failureLines(error)
        .map((text) => `${text}\n`)
        .join(''),
    )
  }
  await Promise.all([finish(session.stdout), finish(session.stderr)])
  session.stdin.destroy()
  if (gone.aborted) return
  channel.exit(code >= 0 && code <= 255 ? code : 255)
  channel.end()
}

/** Whether `thrown` is how Node's own waits end when the session's signal aborts. */
function isCancel(thrown: unknown, signal: AbortSignal): boolean {
  return signal.aborted && thrown instanceof Error && thrown.name === 'AbortError'
}

function dispatch(session: Session, line: string, doors: Doors): Promise<number> {
  const request = parseRequest(line)
  if (request.kind === 'command') return doors.command({ ...session, argv: request.argv })
  if (request.kind === 'receive-pack') return doors.receivePack(session, request.app)
  if (doors.uploadPack) return doors.uploadPack(session, request.app)
  throw new Failure('forbidden', `Could not fetch from "${request.app}": fetching is turned off`)
}

function openSession(run: Run): Session {
  const { ssh, channel, link, gone, terminal } = run
  const stop = new AbortController()
  ssh.on('signal', (accept, _reject, { name }) => {
    if (/^(INT|TERM|HUP|KILL|QUIT)$/.test(name)) stop.abort(interrupted(name))
    optional(accept)?.()
  })
  // Sent by OpenSSH when nobody reads its output any more (`ssh paas logs shop | head`).
  ssh.on('eow', () => stop.abort(new Failure('failed', 'The client stopped reading')))
  const stdin = inputOf(channel, terminal, () => stop.abort(interrupted('INT')))
  gone.addEventListener('abort', () => stdin.destroy(disconnected()), { once: true })
  const terminalLines = () => terminal !== null && !terminal.raw
  const common = { socket: link.socket, gone, terminalLines }
  return {
    identity: link.identity,
    stdin,
    stdout: channelOutput({ target: channel, ...common }),
    stderr: channelOutput({ target: channel.stderr, ...common }),
    signal: AbortSignal.any([stop.signal, gone]),
    tty: terminal,
    env: run.env,
  }
}

/** The client's input apart from the channel: whoever destroys it does not close the channel. */
function inputOf(channel: ServerChannel, terminal: TerminalState | null, onInterrupt: () => void) {
  const stdin = terminal
    ? new Transform({
        transform(chunk: Buffer, _encoding, done) {
          if (!terminal.raw && chunk.includes(interrupt)) onInterrupt()
          done(null, chunk)
        },
      })
    : new PassThrough()
  stdin.on('error', () => {})
  stdin.once('close', () => channel.resume()) // what still comes is thrown away, not left to clog
  return channel.pipe(stdin)
}

type TerminalState = Terminal & { raw: boolean; resize: (columns: number, rows: number) => void }

function newTerminal(term: string, columns: number, rows: number): TerminalState {
  const listeners: ((columns: number, rows: number) => void)[] = []
  const state: TerminalState = {
    term: /^[\w.+-]{1,64}$/.test(term) ? term : 'dumb',
    columns: size(columns, 80),
    rows: size(rows, 24),
    raw: false,
    setRaw: () => {
      state.raw = true
    },
    onResize: (listener) => void listeners.push(listener),
    resize: (newColumns, newRows) => {
      state.columns = size(newColumns, state.columns)
      state.rows = size(newRows, state.rows)
      for (const listener of listeners) listener(state.columns, state.rows)
    },
  }
  return state
}

function size(value: number, fallback: number): number {
  return value >= 1 && value <= 2000 ? value : fallback
}

function acceptsEnv(key: string, value: string, env: Record<string, string>): boolean {
  if (!/^(GIT_PROTOCOL|LANG|LC_[A-Z]{1,20}|TZ|NO_COLOR)$/.test(key)) return false
  return /^[\x20-\x7e]{0,256}$/.test(value) && Object.keys(env).length < 32
}

/** ssh2 passes no `accept` when the client wants no reply; its types do not say so. */
function optional(accept: (() => void) | undefined): (() => void) | undefined {
  return accept
}

function disconnected(): Failure {
  return new Failure('failed', 'The client disconnected')
}

function interrupted(name: string): Failure {
  return new Failure('failed', `Interrupted by the client (SIG${name})`)
}
