import { createConnection, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { readConfig } from '../core/config.ts'
import { errno, failureLines, Failure, statusOf } from '../core/errors.ts'
import { spawnGroup, waitForEnd } from '../core/exec.ts'
import { paths } from '../core/names.ts'
import type { WindowSize } from '../core/types.ts'
import { decode, encode, frame, parseResume, type Request } from './doors/frames.ts'

/**
 * `paas <command>` on the host: passes its words and streams to the daemon, ends with its status.
 */
process.title = 'paas' // its arguments may hold config, and any user may read a command line
const resumeTimeoutMs = 10 * 60 * 1000
const resumeLookMs = 200
const sigpipeStatus = 141
/** As whoever reads sees it, or whoever writes. */
const lost = new Set(['ECONNRESET', 'EPIPE'])
const away = new Failure('temporary', 'The daemon went away before it answered')
try {
  const [name, ...args] = process.argv.slice(2)
  process.exitCode = name === 'plan' ? await plan(args) : await ask(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${failureLines(error).join('\n')}\n`)
  process.exitCode = statusOf(error)
}

/** `paas plan <dir>` asks no daemon, and needs neither root nor a set-up host. */
async function plan(args: string[]): Promise<number> {
  const { planHere } = await import('./code/local-plan.ts')
  const { lines, warnings } = planHere(args)
  await write(process.stdout, Buffer.from(lines.map((line) => `${line}\n`).join('')))
  await write(process.stderr, Buffer.from(warnings.map((line) => `${line}\n`).join('')))
  return 0
}

/** Asks once, or again and again where the daemon has said how to go on after it was away. */
async function ask(argv: string[]): Promise<number> {
  let end = await call(await reach(), argv, process.stdin)
  while (end.resume && (end.code === undefined || end.code === statusOf(away))) {
    const next = await call(await reachAgain(), end.resume)
    end = { resume: end.resume, ...next }
  }
  process.stdin.destroy()
  if (end.code !== undefined) return end.code
  throw away
}

type End = { code?: number; resume?: string[] }

async function reach(): Promise<Socket> {
  const path = paths(readConfig(process.env)).socket
  const socket = createConnection({ path, allowHalfOpen: true })
  const { promise: connected, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve).once('error', (error) => reject(explain(path, error)))
  await connected
  return socket
}

async function reachAgain(): Promise<Socket> {
  process.stderr.write(' !     The daemon is away; the log goes on when it is back\n')
  for (const deadline = Date.now() + resumeTimeoutMs; ;) {
    try {
      return await reach()
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await pause(resumeLookMs)
  }
}

/** One request and its answer; without a code the connection was lost before the end. */
async function call(socket: Socket, argv: string[], input?: typeof process.stdin): Promise<End> {
  const request: Request = {
    argv,
    tty: terminal(),
    turn: process.env.PAAS_TURN ?? null,
  }
  socket.on('error', () => {}) // what was lost is seen by the answer that does not end
  socket.write(encode(frame.request, Buffer.from(JSON.stringify(request))))
  if (input) sendInput(socket, input)
  using typing = new DisposableStack()
  typing.defer(leaveRaw)
  const end: End = {}
  const frames = decode(socket)
  try {
    for await (const { kind, data } of frames) {
      if (kind === frame.raw) await becomeRaw()
      if (kind === frame.resume) end.resume = parseResume(data)
      if (kind === frame.stdout) await write(process.stdout, data)
      if (kind === frame.stderr) await write(process.stderr, data)
      if (kind !== frame.exit) continue
      leaveRaw()
      socket.end()
      end.code = data.readUInt8(0)
      break
    }
  } catch (error) {
    if (!lost.has(errno(error) ?? '')) throw error
  }
  socket.destroy()
  return end
}

function sendInput(socket: Socket, input: typeof process.stdin): void {
  input.on('data', (chunk: Buffer) => {
    if (socket.write(encode(frame.stdin, chunk))) return
    input.pause()
    socket.once('drain', () => input.resume())
  })
  process.stdout.on('resize', () => {
    socket.write(encode(frame.resize, Buffer.from(JSON.stringify(windowSize()))))
  })
  input.on('end', () => socket.write(encode(frame.stdin, Buffer.alloc(0))))
}

/** Both ends must be one: a program at a terminal would spoil what goes into a file. */
function terminal(): Request['tty'] {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return null
  return { term: process.env.TERM ?? 'dumb', ...windowSize() }
}

function windowSize(): WindowSize {
  return { columns: process.stdout.columns, rows: process.stdout.rows }
}

/** Node's own raw mode goes on turning LF into CR LF, which full-screen programs do not expect. */
async function becomeRaw(): Promise<void> {
  if (!process.stdin.isTTY) return
  process.stdin.setRawMode(true)
  const stty = spawnGroup('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] })
  await waitForEnd(stty, { timeoutMs: 5000 })
}

function leaveRaw(): void {
  if (process.stdin.isTTY && !process.stdin.destroyed) process.stdin.setRawMode(false)
}

/** A reader that has seen enough, such as `head`, ends us as it would end any program. */
async function write(stream: NodeJS.WriteStream, data: Buffer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('error', endQuietly)
  stream.write(data, () => resolve())
  await promise
  stream.off('error', endQuietly)
}

function endQuietly(): void {
  process.exit(sigpipeStatus)
}

function explain(path: string, cause: Error): Failure {
  if (errno(cause) === 'EACCES') {
    return new Failure('forbidden', 'paas on the host is for root; others use ssh', { cause })
  }
  return new Failure('temporary', `No daemon answers at ${path}: ${cause.message}`, {
    hint: 'Start it with scripts/install, or: systemctl start paas',
    cause,
  })
}
