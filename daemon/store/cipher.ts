import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { errno, Failure } from '../../core/errors.ts'

/** Config at rest: AES-256-GCM with a key that lies beside the database, never in it. */
export type Cipher = {
  /** `sealed:` and base64 of nonce, tag and ciphertext; every call gives another text. */
  seal: (plain: string) => string
  /** What was sealed; text from before there was a key comes back as it is. */
  open: (stored: string) => string
}

const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const mark = 'sealed:'

/**
 * Reads the key at `file`, or makes it once, for root alone. Where `mustExist` something was sealed
 * already: a missing key is then a Failure rather than a new key that opens nothing.
 */
export function openCipher(file: string, mustExist: boolean): Cipher {
  const key = readKey(file) ?? (mustExist ? undefined : makeKey(file))
  if (key?.length !== keyBytes) {
    const what = key ? `holds ${key.length} bytes instead of ${keyBytes}` : 'is missing'
    throw new Failure('failed', `The key of the config, ${file}, ${what}`, {
      hint: 'Restore it from a backup: without it no config in the database can be read',
    })
  }
  return {
    seal(plain) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return mark + Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64')
    },
    open(stored) {
      if (!isSealed(stored)) return stored
      const bytes = Buffer.from(stored.slice(mark.length), 'base64')
      const [nonce, tag] = [bytes.subarray(0, nonceBytes), bytes.subarray(nonceBytes, headBytes)]
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
        decipher.setAuthTag(tag)
        return (
          decipher.update(bytes.subarray(headBytes), undefined, 'utf8') + decipher.final('utf8')
        )
      } catch (cause) {
        throw new Failure('failed', `The key ${file} does not open the config in the database`, {
          hint: 'Restore the key that belongs to this database from a backup',
          cause,
        })
      }
    },
  }
}

export function isSealed(stored: string): boolean {
  return stored.startsWith(mark)
}

const headBytes = nonceBytes + tagBytes

function readKey(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Written beside and linked: a kill leaves no half key, and no second one replaces it. */
function makeKey(file: string): Buffer {
  const beside = `${file}.new`
  rmSync(beside, { force: true })
  const fd = openSync(beside, 'wx', 0o600)
  writeSync(fd, randomBytes(keyBytes))
  fsyncSync(fd)
  closeSync(fd)
  linkSync(beside, file)
  rmSync(beside)
  return readFileSync(file)
}
