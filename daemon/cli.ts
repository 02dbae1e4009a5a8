import { createConnection } from 'node:net'
import { readConfig } from '../core/config.ts'
import { errno, failureLines, Failure, statusOf } from '../core/errors.ts'
import { spawnGroup, waitForEnd } from '../core/exec.ts'
import { paths } from '../core/names.ts'
import { decode, encode, frame, type Request, type WindowSize } from './frames.ts'

/**
 * `paas <command>` on the host: passes its words and streams to the daemon, ends with its status.
 */
process.title = 'paas' // its arguments may hold config, and any user may read a command line
try {
  const [name, ...args] = process.argv.slice(2)
  process.exitCode = name === 'plan' ? await plan(args) : await call(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${failureLines(error).join('\n')}\n`)
  process.exitCode = statusOf(error)
}

/** `paas plan <dir>` asks no daemon, and needs neither root nor a set-up host. */
async function plan(args: string[]): Promise<number> {
  const { planHere } = await import('./local-plan.ts')
  await write(process.stdout, Buffer.from(`${planHere(args).join('\n')}\n`))
  return 0
}

async function call(argv: string[]): Promise<number> {
  const path = paths(readConfig(process.env)).socket
  const socket = createConnection({ path, allowHalfOpen: true })
  const { promise: connected, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve).once('error', (error) => reject(explain(path, error)))
  await connected
  const request: Request = {
    argv,
    tty: terminal(),
    turn: process.env.PAAS_TURN ?? null,
  }
  socket.write(encode(frame.request, Buffer.from(JSON.stringify(request))))
  process.stdin.on('data', (chunk: Buffer) => {
    if (socket.write(encode(frame.stdin, chunk))) return
    process.stdin.pause()
    socket.once('drain', () => process.stdin.resume())
  })
  process.stdout.on('resize', () => {
    socket.write(encode(frame.resize, Buffer.from(JSON.stringify(windowSize()))))
  })
  process.stdin.on('end', () => socket.write(encode(frame.stdin, Buffer.alloc(0))))
  using typing = new DisposableStack()
  typing.defer(leaveRaw)
  for await (const { kind, data } of decode(socket)) {
    if (kind === frame.raw) await becomeRaw()
    if (kind === frame.stdout) await write(process.stdout, data)
    if (kind === frame.stderr) await write(process.stderr, data)
    if (kind !== frame.exit) continue
    leaveRaw()
    process.stdin.destroy()
    socket.end()
    return data.readUInt8(0)
  }
  throw new Failure('temporary', 'The daemon went away before it answered')
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

async function write(stream: NodeJS.WriteStream, data: Buffer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.write(data, () => resolve())
  await promise
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
