import { X509Certificate, sign } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { freePort } from '../ports.ts'

/** Debian's own registry on the loopback, with nothing, a password or a token before it. */

export const program = '/usr/bin/docker-registry'
export const isInstalled = existsSync(program)

export const login = { user: 'tester', password: 'a good password' }
const hashed = '$2b$05$abcdefghijklmnopqrstuudPLndKqNxTJdyGgy8u1tt1GUFSmbwZS'

export async function startRegistry(dir: string, auth: 'none' | 'password' | 'token' = 'none') {
  mkdirSync(dir, { recursive: true })
  const port = await freePort()
  const tokens = auth === 'token' ? await startTokens(dir) : undefined
  if (auth === 'password') writeFileSync(join(dir, 'users'), `${login.user}:${hashed}\n`)
  const lines = {
    none: [],
    password: ['auth:', '  htpasswd:', '    realm: tests', `    path: ${join(dir, 'users')}`],
    token: ['auth:', '  token:', ...(tokens?.lines ?? [])],
  }
  const file = join(dir, 'config.yml')
  const storage = ['storage:', `  filesystem: { rootdirectory: ${join(dir, 'data')} }`]
  const http = ['http:', `  addr: 127.0.0.1:${port}`, '  secret: tests']
  const all = ['version: 0.1', 'log: { level: error }', ...storage, ...http, ...lines[auth]]
  writeFileSync(file, `${all.join('\n')}\n`)
  const child = spawnGroup(program, ['serve', file], { stdio: 'ignore' })
  const host = `localhost:${port}`
  const deadline = Date.now() + 20_000
  for (;;) {
    const seen = await fetch(`http://${host}/v2/`).catch(() => undefined)
    if (seen) break
    if (Date.now() > deadline) throw new Error('the registry did not start')
    await pause(25)
  }
  return {
    host,
    dir,
    async [Symbol.asyncDispose](): Promise<void> {
      tokens?.close()
      await killGroup(child, 2000)
    },
  }
}

/** What stands beside a registry of a company: it gives tokens to those that it knows. */
async function startTokens(dir: string) {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  const subject = ['-subj', '/CN=tests', '-days', '2', '-nodes']
  await exec('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    ...subject,
    '-keyout',
    key,
    '-out',
    cert,
  ])
  const x5c = [new X509Certificate(readFileSync(cert)).raw.toString('base64')]
  const port = await freePort()
  const wanted = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`
  const server = createServer((request, response) => {
    if (request.headers.authorization !== wanted) return response.writeHead(401).end('{}')
    const { searchParams } = new URL(request.url ?? '', 'http://localhost')
    const access = searchParams.getAll('scope').map((scope) => {
      const [type, name, actions = ''] = scope.split(':')
      return { type, name, actions: actions.split(',') }
    })
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: 'tests', sub: login.user, aud: 'tests', access, jti: String(now) }
    const times = { nbf: now - 60, iat: now, exp: now + 300 }
    const parts = [
      { typ: 'JWT', alg: 'RS256', x5c },
      { ...claims, ...times },
    ]
    const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    const signed = sign('sha256', Buffer.from(text.join('.')), readFileSync(key, 'utf8'))
    const token = [...text, signed.toString('base64url')].join('.')
    response.end(JSON.stringify({ token }))
  })
  server.listen(port, '127.0.0.1')
  const lines = [`realm: http://localhost:${port}/token`, 'service: tests', 'issuer: tests']
  return {
    lines: [...lines, `rootcertbundle: ${cert}`].map((line) => `    ${line}`),
    close: () => server.close(),
  }
}
