import { once } from 'node:events'
import { createConnection } from 'node:net'
import { decode, encode, frame, type Request } from '../../daemon/doors/frames.ts'

const away = 75
const pieceBytes = 64 * 1024

/**
 * Asks the daemon at the socket `path` as `paas` on the host does, here and not in a program of its
 * own: many a test asks hundreds of times. That of the host is tried where it matters.
 */
export async function askLocally(path: string, argv: string[], input = '') {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  const ended = (code: number) => ({
    code,
    stdout: Buffer.concat(stdout).toString('utf8'),
    stderr: Buffer.concat(stderr).toString('utf8'),
  })
  const socket = createConnection({ path, allowHalfOpen: true })
  try {
    await once(socket, 'connect')
    const request: Request = { argv, tty: null, turn: null }
    socket.write(encode(frame.request, Buffer.from(JSON.stringify(request))))
    const bytes = Buffer.from(input)
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      socket.write(encode(frame.stdin, bytes.subarray(at, at + pieceBytes)))
    }
    socket.write(encode(frame.stdin, Buffer.alloc(0)))
    for await (const { kind, data } of decode(socket)) {
      if (kind === frame.stdout) stdout.push(data)
      if (kind === frame.stderr) stderr.push(data)
      if (kind === frame.exit) return ended(data.readUInt8(0))
    }
  } catch (error) {
    stderr.push(Buffer.from(`${String(error)}\n`))
  } finally {
    socket.destroy()
  }
  return ended(away)
}
