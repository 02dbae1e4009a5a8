import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { errno, Failure } from '../core/errors.ts'
import { printable } from '../core/names.ts'
import { readStrings } from './wire.ts'

/** A public key as the store keeps it: `blob` is base64 of the SSH wire format. */
export type PublicKey = { algorithm: string; blob: string; fingerprint: string; comment: string }

const algorithms = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
]

const rsaBitsLeast = 2048
const rsaBitsMost = 16_384

/**
 * Reads one line of an `id_….pub` file or of `authorized_keys`.
 * Throws a usage Failure on private keys, options, unknown or weak keys, and on anything else.
 */
export function parsePublicKey(text: string): PublicKey {
  const line = text.trim()
  if (/PRIVATE KEY|^PuTTY-User-Key-File/.test(line)) throw privateKey()
  if (line.includes('\n')) throw refused('it has more than one line', 'Add one key at a time')
  const [algorithm = '', blob = '', ...comment] = line.split(/[ \t]+/)
  if (!algorithms.includes(algorithm)) throw unknownAlgorithm(line, algorithm)
  const bytes = Buffer.from(blob, 'base64')
  if (blob === '' || bytes.toString('base64').replace(/=+$/, '') !== blob.replace(/=+$/, '')) {
    throw refused('the part after its type is not base64', damaged)
  }
  checkKey(algorithm, bytes)
  return {
    algorithm,
    blob: bytes.toString('base64'),
    fingerprint: fingerprint(bytes),
    comment: printable(comment.join(' ')),
  }
}

/** `SHA256:…`, as `ssh-keygen -l` prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

/** A key in SSH wire format, taken apart. `application` belongs to hardware (`sk-`) keys. */
export type WireKey = { algorithm: string; key: KeyObject; application: Buffer | null }

/** Takes a wire-format key apart; null when it is not a key of ours. */
export function readWireKey(blob: Buffer): WireKey | null {
  const [name, ...parts] = readStrings(blob) ?? []
  const algorithm = name?.toString('latin1') ?? ''
  if (!algorithms.includes(algorithm)) return null
  const count = partCounts[algorithm] ?? 2
  if (parts.length !== count) return null
  const application = algorithm.startsWith('sk-') ? (parts.at(-1) ?? null) : null
  const jwk = toJwk(algorithm, parts)
  if (!jwk) return null
  try {
    return { algorithm, key: createPublicKey({ key: jwk, format: 'jwk' }), application }
  } catch (error) {
    if (errno(error)?.startsWith('ERR_')) return null // numbers that are no point or no modulus
    throw error
  }
}

/** How many wire strings follow the name; two unless said here. */
const partCounts: Record<string, number> = {
  'ssh-ed25519': 1,
  'sk-ecdsa-sha2-nistp256@openssh.com': 3,
}

const curves: Record<string, { crv: string; bytes: number }> = {
  nistp256: { crv: 'P-256', bytes: 32 },
  nistp384: { crv: 'P-384', bytes: 48 },
  nistp521: { crv: 'P-521', bytes: 66 },
}

function toJwk(algorithm: string, parts: Buffer[]): Record<string, string> | null {
  const [first, second] = parts
  if (!first) return null
  if (algorithm.includes('ed25519')) {
    return first.length === 32 ? { kty: 'OKP', crv: 'Ed25519', x: url(first) } : null
  }
  if (!second) return null
  if (algorithm === 'ssh-rsa') return { kty: 'RSA', e: url(mpint(first)), n: url(mpint(second)) }
  const curve = curves[first.toString('latin1')]
  if (!curve || !algorithm.includes(first.toString('latin1'))) return null
  if (second.length !== 1 + 2 * curve.bytes || second[0] !== 4) return null // uncompressed points
  const x = second.subarray(1, 1 + curve.bytes)
  return { kty: 'EC', crv: curve.crv, x: url(x), y: url(second.subarray(1 + curve.bytes)) }
}

function url(bytes: Buffer): string {
  return bytes.toString('base64url')
}

/** An mpint without the zero byte that keeps it positive. */
function mpint(bytes: Buffer): Buffer {
  return bytes[0] === 0 ? bytes.subarray(1) : bytes
}

function checkKey(algorithm: string, blob: Buffer): void {
  const wire = readWireKey(blob)
  if (wire?.algorithm !== algorithm) throw refused('its parts do not fit its type', damaged)
  if (algorithm !== 'ssh-rsa') return
  const bits = wire.key.asymmetricKeyDetails?.modulusLength ?? 0
  if (bits >= rsaBitsLeast && bits <= rsaBitsMost) return
  throw refused(
    `it is RSA with ${bits} bits, and ${rsaBitsLeast} to ${rsaBitsMost} are accepted`,
    'Make a better one with: ssh-keygen -t ed25519',
  )
}

const damaged = 'Copy the whole line of the .pub file again'

function refused(why: string, hint: string): Failure {
  return new Failure('usage', `Could not read the public key: ${why}`, { hint })
}

function privateKey(): Failure {
  return refused(
    'this is a PRIVATE key, which must never leave its machine',
    'Send the file that ends in .pub, and make a new key if others may have seen this one',
  )
}

function unknownAlgorithm(line: string, first: string): Failure {
  if (algorithms.some((name) => line.includes(`${name} `))) {
    return refused(
      `it begins with options ("${printable(first)}"), which paas does not use`,
      'Leave out everything before the key type',
    )
  }
  return refused(
    `"${printable(first)}" is not a key type that paas accepts`,
    `Accepted: ${algorithms.join(', ')}`,
  )
}
