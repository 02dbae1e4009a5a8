import { readFile } from 'node:fs/promises'
import { errno, Failure } from '../core/errors.ts'

/** A public key with the name it is added under. */
export type NamedKey = { name: string; line: string }

/**
 * The keys to let in: of the files given, else of root's and the installing user's authorized_keys
 * (whoever may log in as root can do everything already). Throws when a given file cannot be read
 * or holds no key.
 */
export async function readKeys(given: string[] | undefined): Promise<NamedKey[]> {
  const keys: NamedKey[] = []
  for (const file of given ?? defaultFiles(process.env.SUDO_USER)) {
    const found = parseKeys(await readText(file, given !== undefined))
    if (given && found.length === 0) {
      throw new Failure('usage', `${file} holds no public key`, {
        hint: 'Give the file whose name ends in .pub',
      })
    }
    keys.push(...found)
  }
  return keys
}

/** Lines of a public key file or of authorized_keys, whose options are left out. */
export function parseKeys(text: string): NamedKey[] {
  const lines = text.match(/^[^#\n]*$/gm) ?? []
  return lines.flatMap((line) => {
    const [key, comment = ''] =
      /(?:ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/=]{40,}(?: +(.*))?/.exec(line) ?? []
    const name = comment.trim().replaceAll(/[^\w.@-]/g, '-')
    return key ? [{ name: name.slice(0, 64) || 'admin', line: key }] : []
  })
}

function defaultFiles(sudoUser: string | undefined): string[] {
  const root = '/root/.ssh/authorized_keys'
  const other = sudoUser && sudoUser !== 'root'
  return other ? [root, `/home/${sudoUser}/.ssh/authorized_keys`] : [root]
}

async function readText(file: string, required: boolean): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if (!required && errno(cause) === 'ENOENT') return ''
    throw new Failure('usage', `Could not read the key file ${file}: ${errno(cause)}`, { cause })
  }
}
