import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { errno, Failure } from '../core/errors.ts'

/**
 * The server's private keys (OpenSSH format, in the order they are offered), made once in `dir`:
 * Ed25519, and ECDSA for clients that may not use it. No RSA: ssh2 would offer it with SHA-1 too.
 */
export async function hostKeys(dir: string): Promise<string[]> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  return [
    await hostKey(join(dir, 'ssh_host_ed25519_key'), () =>
      ssh2.utils.generateKeyPairSync('ed25519'),
    ),
    await hostKey(join(dir, 'ssh_host_ecdsa_key'), () =>
      ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }),
    ),
  ]
}

type Pair = { private: string; public: string }

async function hostKey(path: string, generate: () => Pair): Promise<string> {
  try {
    const key = await readFile(path, 'utf8')
    await chmod(path, 0o600) // a restored backup may have opened it up
    return key
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
  }
  const pair = sound(generate)
  await writeBeside(`${path}.pub`, `${pair.public}\n`, 0o644)
  await writeBeside(path, pair.private, 0o600)
  return pair.private
}

/** ssh2 1.17 drops a leading zero byte, so that one Ed25519 key in 130 cannot be read back. */
function sound(generate: () => Pair): Pair {
  for (let tries = 0; tries < 20; tries += 1) {
    const pair = generate()
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair
  }
  throw new Failure('failed', 'Could not make a host key: 20 in a row could not be read back')
}

/** Written beside and renamed, so that a crash leaves a whole key or none. */
async function writeBeside(path: string, text: string, mode: number): Promise<void> {
  const beside = `${path}.${randomBytes(4).toString('hex')}`
  try {
    const file = await open(beside, 'wx', mode)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
}
