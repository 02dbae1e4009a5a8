import { Client } from 'undici'
import { Failure } from '../core/errors.ts'

/** Our client for Caddy's two unix sockets: the admin API, and the look-up that confirms a route. */

const timeoutMs = 5000
const bodyBytesMost = 1024 * 1024

/** Replaces the whole configuration. Caddy keeps the old one when it cannot use the new. */
export async function load(adminSocket: string, config: object): Promise<void> {
  await call(adminSocket, 'paas', { method: 'POST', path: '/load', body: JSON.stringify(config) })
}

/** Resolves when the admin API answers; throws a Failure otherwise. */
export async function ping(adminSocket: string): Promise<void> {
  await call(adminSocket, 'paas', { method: 'GET', path: '/config/admin' })
}

/** The route file that Caddy itself finds for a host: `/h/<host>/<name>`, or `` when none. */
export async function findRoute(confirmSocket: string, host: string): Promise<string> {
  return call(confirmSocket, host, { method: 'GET', path: '/' })
}

/** One retry, because a reload drops idle connections; every call here may be repeated safely. */
async function call(socketPath: string, host: string, request: Request): Promise<string> {
  try {
    return await once(socketPath, host, request)
  } catch (error) {
    if (error instanceof Failure) throw error
  }
  try {
    return await once(socketPath, host, request)
  } catch (cause) {
    if (cause instanceof Failure) throw cause
    throw new Failure('failed', `The router did not answer at ${socketPath}`, { cause })
  }
}

type Request = { method: 'GET' | 'POST'; path: string; body?: string }

async function once(socketPath: string, host: string, request: Request): Promise<string> {
  const client = new Client(`http://${host}`, {
    socketPath,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connect: { timeout: timeoutMs },
    maxResponseSize: bodyBytesMost,
  })
  try {
    const { statusCode, body } = await client.request({
      method: request.method,
      path: request.path,
      ...(request.body ? { body: request.body } : {}),
      headers: { 'content-type': 'application/json' },
    })
    const text = await body.text()
    if (statusCode < 300) return text
    throw new Failure('failed', `The router refused ${request.path}: ${text.slice(0, 300).trim()}`)
  } finally {
    await client.close()
  }
}
