import type { AuthContext, Connection, PublicKeyAuthContext } from 'ssh2'
import { log, logError } from '../core/log.ts'
import { printable } from '../core/names.ts'
import type { Identity } from '../core/types.ts'
import { fingerprint } from './keys.ts'
import type { Doors } from './session.ts'
import { verifyProof } from './signature.ts'
import { readStrings } from './wire.ts'

/** The one user name, as in the contract's `~/.ssh/config` block. */
const user = 'paas'

/**
 * Answers login attempts: public keys only, for the user `paas` only, at most `tries` failures.
 * `onLogin` is called once, before the client learns that it is in, with a function that asks again
 * who came in: null once the key is known no more.
 */
export function guardLogin(options: {
  client: Connection
  address: string
  tries: number
  authorize: Doors['authorize']
  onLogin: (whoIsIt: () => Identity | null) => void
}): void {
  const { client, address, tries, authorize, onLogin } = options
  let failures = 0
  let asked = false
  const refuse = (context: AuthContext) => {
    failures += 1
    if (failures < tries) return context.reject(['publickey'])
    log('ssh login refused', { address, ...describe(context) })
    client.end() // OpenSSH says "Too many authentication failures" here
  }
  client.on('authentication', (context) => {
    if (context.method === 'none' && !asked) {
      asked = true // how every client asks which methods there are; no failed try
      return context.reject(['publickey'])
    }
    const identity = context.method === 'publickey' ? identify(context, authorize) : null
    if (!identity || context.method !== 'publickey') return refuse(context)
    if (!context.signature) return context.accept() // "would you take this key?"
    if (!proves(context)) return refuse(context)
    onLogin(() => identify(context, authorize))
    context.accept()
  })
}

function identify(context: PublicKeyAuthContext, authorize: Doors['authorize']): Identity | null {
  const { algo, data } = context.key
  const named = readStrings(data)?.[0]?.toString('latin1')
  if (context.username !== user || named !== algo) return null
  if (algo === 'ssh-rsa' && !context.hashAlgo) return null // SHA-1
  try {
    return authorize({ algorithm: algo, blob: data.toString('base64') })
  } catch (error) {
    logError('ssh authorize failed', error)
    return null
  }
}

function proves(context: PublicKeyAuthContext): boolean {
  const { key, blob, signature, hashAlgo } = context
  if (!blob || !signature) return false
  return verifyProof({ blob: key.data, data: blob, signature, hash: hashAlgo })
}

function describe(context: AuthContext): Record<string, unknown> {
  const facts = { user: printable(context.username), method: context.method }
  if (context.method !== 'publickey') return facts
  return { ...facts, key: fingerprint(context.key.data) }
}
