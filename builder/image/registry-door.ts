import { Failure } from '../../core/errors.ts'
import type { Answer, Call, openHttp } from './http.ts'
import { isLoopback, type Reference, referenceText } from './reference.ts'

/** What is known here of a registry. */
export type RegistryAccess = {
  login?: { user: string; password: string }
  /** An admin allows it although it has no TLS, or is this very machine. */
  allowed: boolean
}

const tokenBytesMost = 64 * 1024

type Door = {
  reference: Reference
  access: RegistryAccess
  origin: URL
  http: ReturnType<typeof openHttp>
  signal: AbortSignal
}

/** Sends with the credentials that the registry asks for; nobody else is shown them. */
export function openDoor({ reference, access, origin, http, signal }: Door) {
  const scopes = new Set([`repository:${reference.repository}:pull`])
  let authorization: string | undefined

  async function authorize(challenge: string): Promise<string> {
    const { login } = access
    const basic = login && `Basic ${base64(`${login.user}:${login.password}`)}`
    if (/^basic/i.test(challenge)) {
      if (basic) return basic
      throw noAccess(reference, 'it wants a user and a password')
    }
    const url = tokenUrl(challenge, origin, [...scopes])
    const headers: Record<string, string> = basic ? { authorization: basic } : {}
    const answer = await http.send({ method: 'GET', url, headers, signal })
    const bytes = await answer.bytes(tokenBytesMost)
    if (answer.status !== 200) throw noAccess(reference, `it answered ${answer.status}`)
    return `Bearer ${readToken(bytes)}`
  }

  return {
    /** More than to read: for this repository, and for reading others of the same registry. */
    wants(scope: string): void {
      if (!scopes.has(scope)) authorization = undefined
      scopes.add(scope)
    },
    /** Sends once, and once more when the first answer asks who we are. */
    async send(call: Call): Promise<Answer> {
      const isOurs = call.url.origin === origin.origin
      const send = () => {
        const headers = { ...call.headers, ...(isOurs && authorization && { authorization }) }
        return http.send({ ...call, headers })
      }
      const answer = await send()
      const challenge = answer.header('www-authenticate')
      if (answer.status !== 401 || !isOurs || challenge === undefined) return answer
      answer.discard()
      authorization = await authorize(challenge)
      return send()
    },
  }
}

/** Where a registry's API is: on this machine, or without TLS, only where an admin allows it. */
export function originOf({ host }: Reference, { allowed }: RegistryAccess): URL {
  if (!allowed && isLoopback(host)) {
    throw new Failure(
      'forbidden',
      `${host} is this server itself, which images may not come from`,
      {
        hint: `If it is a registry, root on the server may allow it: paas registry:allow ${host}`,
      },
    )
  }
  if (host === 'docker.io') return new URL('https://registry-1.docker.io')
  return new URL(`${allowed ? 'http' : 'https'}://${host}`)
}

/** A registry may send us elsewhere, but not from TLS to none, nor onto this machine. */
export function refusePlain(url: URL, origin: URL): void {
  if (url.protocol === 'https:' && !isLoopback(url.hostname)) return
  if (url.origin === origin.origin) return
  if (origin.protocol === 'http:' && url.hostname === origin.hostname) return
  throw new Failure('failed', `The registry leads on to ${url.host} without TLS`)
}

export function noAccess(reference: Reference, seen: string): Failure {
  return new Failure('failed', `No access to ${referenceText(reference)}: ${seen}`, {
    hint: `Log in with: registry:login ${reference.host} USER < password`,
  })
}

/** `Bearer realm="https://auth…",service="registry…",scope="…"` */
function tokenUrl(challenge: string, origin: URL, scopes: string[]): URL {
  const parts = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  )
  if (!/^bearer/i.test(challenge) || !URL.canParse(parts.realm ?? '')) {
    throw new Failure('failed', `${origin.host} wants a kind of login that paas does not know`)
  }
  const url = new URL(parts.realm ?? '')
  refusePlain(url, origin)
  if (parts.service) url.searchParams.set('service', parts.service)
  for (const scope of scopes) url.searchParams.append('scope', scope)
  return url
}

function readToken(bytes: Buffer): string {
  const value: unknown = JSON.parse(bytes.toString('utf8'))
  if (typeof value === 'object' && value !== null) {
    if ('token' in value && typeof value.token === 'string') return value.token
    if ('access_token' in value && typeof value.access_token === 'string') return value.access_token
  }
  throw new Failure('failed', 'The registry gave no token')
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
