import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { type Agent, type IncomingMessage, type RequestListener, createServer } from 'node:http'
import { request } from 'node:http'
import { get as getSecurely } from 'node:https'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { closeRouter } from '../../router/caddy.ts'
import { routerPaths } from '../../router/routes.ts'
import { freePort } from '../ports.ts'

/** An instance's configuration on free ports and in directories of its own. */
export async function freshInstance(): Promise<{
  config: PaasConfig
  close: () => Promise<void>
}> {
  const home = await mkdtemp(join(tmpdir(), 'router-'))
  await chmod(home, 0o711)
  const run = join('/run', `paas-router-${randomBytes(4).toString('hex')}`)
  const config = readConfig({
    PAAS_HOME: join(home, 'state'),
    PAAS_RUN: run,
    PAAS_DOMAIN: 'apps.test',
    PAAS_HTTP_PORT: String(await freePort()),
    PAAS_HTTPS_PORT: String(await freePort()),
  })
  return {
    config,
    close: async () => {
      await closeRouter(config)
      await rm(run, { recursive: true, force: true })
      await rm(home, { recursive: true, force: true })
    },
  }
}

/** A real app on the loopback; `at` is what the router is told. */
export async function startApp(listener: RequestListener) {
  const server = createServer(listener)
  await listening(server)
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no address')
  return {
    at: `127.0.0.1:${address.port}`,
    server,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** An app that answers with its name. */
export function namedApp(name: string) {
  return startApp((incoming, response) => {
    incoming.resume()
    incoming.on('end', () => response.end(name))
  })
}

export type Answer = { status: number; headers: IncomingMessage['headers']; body: string }

export type Ask = {
  path?: string
  method?: string
  headers?: Record<string, string>
  body?: string
  agent?: Agent | false
}

/** One request to the router, with the Host header exactly as given. */
export async function ask(config: PaasConfig, host: string, options: Ask = {}): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const outgoing = request({
    host: '127.0.0.1',
    port: config.httpPort,
    path: options.path ?? '/',
    method: options.method ?? 'GET',
    headers: { ...options.headers, host },
    agent: options.agent ?? false,
    timeout: 30_000,
  })
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 30 s')))
  outgoing.on('error', reject)
  outgoing.on('response', (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks).toString('utf8'),
      }),
    )
  })
  outgoing.end(options.body)
  return promise
}

/** The status that `name` gets over TLS, trusting only the router's own authority. */
export function secure(config: PaasConfig, name: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const outgoing = getSecurely({
    host: '127.0.0.1',
    port: config.httpsPort,
    servername: name,
    ca: readFileSync(routerPaths(config).rootCertificate),
    headers: { host: name },
    agent: false,
    timeout: 30_000,
  })
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 30 s')))
  outgoing.on('error', reject)
  outgoing.on('response', (response) => {
    response.resume()
    resolve(response.statusCode ?? 0)
  })
  return promise
}

export async function listening(server: Server, port = 0): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, '127.0.0.1', resolve)
  await promise
}
