import { createHash, verify } from 'node:crypto'
import { readWireKey, type WireKey } from './keys.ts'
import { readStrings } from './wire.ts'

/** A login's proof as ssh2 hands it over: ECDSA signatures arrive as DER, `hash` is for RSA. */
export type Proof = {
  blob: Buffer
  data: Buffer
  signature: Buffer
  hash: string | undefined
}

/** True when `signature` over `data` was made with the key in `blob`. SHA-1 never counts. */
export function verifyProof(proof: Proof): boolean {
  const wire = readWireKey(proof.blob)
  if (!wire) return false
  if (wire.application) return verifyHardware(wire, wire.application, proof)
  if (wire.algorithm === 'ssh-ed25519') return verify(null, proof.data, wire.key, proof.signature)
  const hash = wire.algorithm === 'ssh-rsa' ? proof.hash : ecdsaHash[wire.algorithm]
  if (hash !== 'sha256' && hash !== 'sha384' && hash !== 'sha512') return false
  return verify(hash, proof.data, wire.key, proof.signature)
}

const ecdsaHash: Record<string, string> = {
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
}

const userPresent = 0x01

/** PROTOCOL.u2f of OpenSSH: the token signs hashes, its flags and its counter. */
function verifyHardware(wire: WireKey, application: Buffer, proof: Proof): boolean {
  const { signature } = proof
  const raw = signature.subarray(0, signature.length - 5)
  const tail = signature.subarray(signature.length - 5) // flags, counter
  if (tail.length !== 5 || ((tail[0] ?? 0) & userPresent) === 0) return false
  const signed = Buffer.concat([sha256(application), tail, sha256(proof.data)])
  if (wire.algorithm === 'sk-ssh-ed25519@openssh.com') return verify(null, signed, wire.key, raw)
  const point = ecdsaPair(raw)
  if (!point) return false
  return verify('sha256', signed, { key: wire.key, dsaEncoding: 'ieee-p1363' }, point)
}

/** Two mpints to the fixed 32 + 32 bytes that node:crypto takes. */
function ecdsaPair(raw: Buffer): Buffer | null {
  const strings = readStrings(raw)
  if (strings?.length !== 2) return null
  const halves = strings.map((mpint) => {
    const number = mpint[0] === 0 ? mpint.subarray(1) : mpint
    return number.length <= 32 ? Buffer.concat([Buffer.alloc(32 - number.length), number]) : null
  })
  const [r, s] = halves
  return r && s ? Buffer.concat([r, s]) : null
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest()
}
