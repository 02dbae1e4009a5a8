import { EventEmitter } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { PassThrough, Writable } from 'node:stream'
import { Failure } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import { dispatch } from '../commands/dispatch.ts'
import type { Daemon } from '../daemon.ts'
import { decode, encode, frame, parseRequest, parseSize, type Request } from './frames.ts'

const aliveLookMs = 2000

/** Serves `paas <command>` on the host: root only, the same command table as every door. */
export async function openLocalDoor(path: string, daemon: Daemon): Promise<Server> {
  rmSync(path, { force: true }) // of a daemon that was killed: serve.ts starts beside no living one
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    serve(socket, daemon).catch((error) => {
      if (error !== hungUp) logError('local-door', error)
      socket.destroy()
    })
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).once('listening', resolve)
  const before = process.umask(0o177) // the socket is made in this very call
  server.listen(path)
  process.umask(before)
  await promise
  return server
}

/** A client that asks nothing: whoever only wanted to know whether we are here. */
const hungUp = new Failure('failed', 'No request came')

async function serve(socket: Socket, daemon: Daemon): Promise<void> {
  const gone = new AbortController()
  socket.once('close', () => gone.abort(new Failure('failed', 'The client went away')))
  const stdin = new PassThrough()
  const { promise: request, resolve, reject } = Promise.withResolvers<Request>()
  request.catch(() => {}) // a client that hangs up before it asks is nobody's problem
  const resized: Resized = new EventEmitter()
  const reading = read(socket, stdin, { onRequest: resolve, resized })
  reading.then(() => reject(hungUp), reject)
  const { argv, tty, turn } = await request
  const code = await dispatch(
    {
      argv,
      tty: tty && {
        ...tty,
        setRaw: () => void socket.write(encode(frame.raw, Buffer.alloc(0))),
        onResize: (listener) => void resized.on('size', listener),
      },
      turn,
      identity: { name: 'root', local: true },
      stdin,
      stdout: framed(socket, frame.stdout),
      stderr: framed(socket, frame.stderr),
      resume: (words) =>
        void socket.write(encode(frame.resume, Buffer.from(JSON.stringify(words)))),
      signal: gone.signal,
    },
    daemon,
  )
  socket.end(encode(frame.exit, Buffer.of(code)))
  stdin.destroy()
  await reading.catch(() => {})
}

type Resized = EventEmitter<{ size: [columns: number, rows: number] }>

async function read(
  socket: Socket,
  stdin: PassThrough,
  { onRequest, resized }: { onRequest: (request: Request) => void; resized: Resized },
): Promise<void> {
  for await (const { kind, data } of decode(socket)) {
    if (kind === frame.request) onRequest(parseRequest(data))
    if (kind === frame.resize) {
      const { columns, rows } = parseSize(JSON.parse(data.toString('utf8')))
      resized.emit('size', columns, rows)
    }
    if (kind !== frame.stdin || stdin.destroyed) continue
    if (data.length === 0) stdin.end()
    else if (!stdin.write(data)) await drained(stdin, socket)
  }
}

function framed(socket: Socket, kind: number): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (socket.destroyed) return done()
      if (socket.write(encode(kind, chunk))) return done()
      const go = () => {
        socket.off('drain', go).off('close', go)
        done()
      }
      socket.once('drain', go).once('close', go)
    },
  })
}

/** Nothing is read meanwhile, and so only what is sent can meet the end of a killed client. */
async function drained(stream: PassThrough, socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('drain', resolve).once('close', resolve)
  const asking = setInterval(() => {
    if (socket.writableLength === 0) socket.write(encode(frame.alive, Buffer.alloc(0)))
  }, aliveLookMs)
  await promise
  clearInterval(asking)
}
