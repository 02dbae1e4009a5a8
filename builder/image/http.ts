import type { IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { errno, Failure, stopIfCancelled } from '../../core/errors.ts'
import { http, https } from '../../core/http.ts'

/** Requests to registries: connections that are kept, and a word for each way it can go wrong. */

export type Call = {
  method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  url: URL
  headers?: Record<string, string>
  body?: Buffer
  /** A body that is not kept in memory. */
  upload?: { pieces: () => AsyncIterable<Uint8Array>; bytes: number }
  signal: AbortSignal
}

export type Answer = {
  status: number
  header(name: string): string | undefined
  /** All of it, which may be at most so long. */
  bytes(most: number): Promise<Buffer>
  /** Piece by piece; whoever asks for it reads it to the end. */
  stream: IncomingMessage
  /** Reads past what nobody wants, so that the connection serves again. */
  discard(): void
}

/** Who was asked, and whoever waits for the answer. */
type Asked = { host: string; signal: AbortSignal }

const idleTimeoutMs = 60_000
const connectionsMost = 4

/** Dispose of it to close what it keeps open. */
export function openHttp() {
  const options = { keepAlive: true, maxSockets: connectionsMost, timeout: idleTimeoutMs }
  const agents = { 'http:': new http.Agent(options), 'https:': new https.Agent(options) }

  async function send(call: Call): Promise<Answer> {
    const { url, method, body, upload, signal } = call
    const isSecure = url.protocol === 'https:'
    const length = upload?.bytes ?? body?.length
    const headers = {
      'user-agent': 'paas',
      ...call.headers,
      ...(length !== undefined && { 'content-length': String(length) }),
    }
    const settings = { method, headers, signal, timeout: idleTimeoutMs }
    const request = isSecure
      ? https.request(url, { ...settings, agent: agents['https:'] })
      : http.request(url, { ...settings, agent: agents['http:'] })
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    request.once('response', resolve).once('error', reject)
    request.once('timeout', () => request.destroy(new Error('no answer for 60 s')))
    const sending =
      upload === undefined
        ? Promise.resolve(request.end(body))
        : pipeline(Readable.from(upload.pieces(), { objectMode: false }), request)
    // A registry that refuses answers before it has read all: that answer is what counts.
    sending.catch(reject)
    return answerOf(await promise, { host: url.host, signal })
  }

  return {
    send: (call: Call) =>
      send(call).catch((error: unknown) =>
        fail({ host: call.url.host, signal: call.signal }, error),
      ),
    [Symbol.dispose]() {
      for (const agent of Object.values(agents)) agent.destroy()
    },
  }
}

function answerOf(response: IncomingMessage, asked: Asked): Answer {
  return {
    status: response.statusCode ?? 0,
    header(name) {
      const value = response.headers[name]
      return Array.isArray(value) ? value[0] : value
    },
    async bytes(most) {
      const pieces: Buffer[] = []
      let length = 0
      try {
        for await (const piece of response) {
          length += piece.length
          if (length > most) {
            throw new Failure('failed', `The registry answered with over ${most} bytes`)
          }
          pieces.push(piece)
        }
      } catch (error) {
        fail(asked, error)
      }
      return Buffer.concat(pieces)
    },
    stream: response,
    discard: () => void response.resume(),
  }
}

/** Says that nothing came, in a way that may pass: asking again may help. */
export function fail({ host, signal }: Asked, error: unknown): never {
  stopIfCancelled(signal)
  if (error instanceof Failure) throw error
  const code = errno(error)
  const seen = error instanceof Error ? error.message || code : String(error)
  throw new Failure('temporary', `${host} could not be reached: ${seen ?? 'no reason given'}`, {
    hint: code === 'ENOTFOUND' ? 'Check the name of the registry' : 'Try again soon',
    cause: error,
  })
}
