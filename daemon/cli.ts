import { createConnection } from 'node:net'
import { readConfig } from '../core/config.ts'
import { errno, failureLines, Failure, statusOf } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import { decode, encode, frame, type Request } from './frames.ts'

/**
 * `paas <command>` on the host: passes its words and streams to the daemon, ends with its status.
 */
process.title = 'paas' // its arguments may hold config, and any user may read a command line
try {
  process.exitCode = await call(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${failureLines(error).join('\n')}\n`)
  process.exitCode = statusOf(error)
}

async function call(argv: string[]): Promise<number> {
  const path = paths(readConfig(process.env)).socket
  const socket = createConnection({ path, allowHalfOpen: true })
  const { promise: connected, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve).once('error', (error) => reject(explain(path, error)))
  await connected
  const request: Request = {
    argv,
    tty: process.stdin.isTTY,
    turn: process.env.PAAS_TURN ?? null,
  }
  socket.write(encode(frame.request, Buffer.from(JSON.stringify(request))))
  process.stdin.on('data', (chunk: Buffer) => {
    if (socket.write(encode(frame.stdin, chunk))) return
    process.stdin.pause()
    socket.once('drain', () => process.stdin.resume())
  })
  process.stdin.on('end', () => socket.write(encode(frame.stdin, Buffer.alloc(0))))
  for await (const { kind, data } of decode(socket)) {
    if (kind === frame.stdout) await write(process.stdout, data)
    if (kind === frame.stderr) await write(process.stderr, data)
    if (kind !== frame.exit) continue
    process.stdin.destroy()
    socket.end()
    return data.readUInt8(0)
  }
  throw new Failure('temporary', 'The daemon went away before it answered')
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
