// The whole of undici would cost the daemon 13 MB of memory for parts that nobody here uses.
import request from 'undici/lib/api/api-request.js'
import Client from 'undici/lib/dispatcher/client.js'
import { errno, Failure } from '../core/errors.ts'
import { adminHost, type CaddyConfig } from './routes.ts'

/** The only client of Caddy's admin API. Each call opens its own connection: they are rare. */
export type CaddyApi = ReturnType<typeof caddyApi>

const callTimeoutMs = 5_000

type Call = {
  socket: string
  method: 'GET' | 'POST'
  path: string
  /** The Host header. */
  host: string
  body?: string | undefined
}

type Answer = { status: number; body: string }

/** Every call ends within 5 s; a Failure says what was asked and what came back. */
export function caddyApi(at: { adminSocket: string; confirmSocket: string }) {
  const admin = (method: Call['method'], path: string, body?: string) =>
    ask({ socket: at.adminSocket, method, path, host: adminHost, body })

  return {
    /** Whether a Caddy of this instance runs and has its configuration. */
    async ping(): Promise<boolean> {
      try {
        const listen: unknown = JSON.parse(await admin('GET', '/config/admin/listen'))
        return listen === `unix/${at.adminSocket}`
      } catch {
        return false // nobody listens, or nobody that works
      }
    },

    /** The configuration that runs, as parsed JSON. */
    async currentConfig(): Promise<unknown> {
      return JSON.parse(await admin('GET', '/config/'))
    },

    /** Replaces the whole configuration, or leaves all as it was and throws. */
    async load(config: CaddyConfig): Promise<void> {
      await admin('POST', '/load', JSON.stringify(config))
    },

    /** Asks Caddy to end itself gracefully; it answers before it does. */
    async stop(): Promise<void> {
      await admin('POST', '/stop')
    },

    /** The upstreams (`ip:port`) to which the running Caddy would send a request for `host`. */
    async confirm(host: string): Promise<string[]> {
      const call: Call = { socket: at.confirmSocket, method: 'GET', path: '/', host }
      const file = (await ask(call)).split('/').at(-1)
      return file ? file.split(',') : []
    },
  }
}

/** The body of a 200. Asks once more when the connection breaks: all our calls bear repeating. */
async function ask(call: Call): Promise<string> {
  const { status, body } = await askOnce(call)
    .catch((error: unknown) => (isDropped(error) ? askOnce(call) : Promise.reject(error)))
    .catch((error: unknown) => {
      throw new Failure('failed', `Caddy did not answer ${called(call)}: ${String(error)}`, {
        hint: 'It restarts by itself within a minute; `doctor` tells whether it did',
        cause: error,
      })
    })
  if (status === 200) return body
  throw new Failure('failed', `Caddy answered ${called(call)} with ${status}: ${body.trim()}`)
}

async function askOnce({ socket, method, path, host, body }: Call): Promise<Answer> {
  const client = new Client('http://caddy', {
    connect: { socketPath: socket, timeout: callTimeoutMs },
    headersTimeout: callTimeoutMs,
    bodyTimeout: callTimeoutMs,
  })
  try {
    const answer = await request.call(client, {
      method,
      path,
      headers: { host, 'content-type': 'application/json' },
      body: body ?? null,
      signal: AbortSignal.timeout(callTimeoutMs),
    })
    return { status: answer.statusCode, body: await answer.body.text() }
  } finally {
    await client.destroy()
  }
}

function called({ method, path }: Call): string {
  return `${method} ${path}`
}

function isDropped(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(errno(error) ?? '')
}
