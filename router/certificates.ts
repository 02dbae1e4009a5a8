import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type Dirent, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { errno } from '../core/errors.ts'
import { log } from '../core/log.ts'

/**
 * Removes what Caddy wrote by halves when it was killed, lost power or had no room: it makes new
 * what is missing, and does not start for as long as something is broken. Only while none runs.
 */
export function removeHalfWritten(state: string): void {
  const authorities = filesBelow(join(state, 'pki'))
  const sites = filesBelow(join(state, 'certificates'))
  const broken = new Set([
    ...authorities.map(withoutEnding).filter((path) => !isPair(path)),
    ...sites.map(withoutEnding).filter((path) => !isPair(path) || !isJson(`${path}.json`)),
  ])
  // Without the root nobody can check what was signed under it.
  const all = broken.has(join(state, 'pki/authorities/local/root'))
  for (const file of [...authorities, ...sites]) {
    if (!all && !broken.has(withoutEnding(file))) continue
    log('certificate-half-written', { file })
    rmSync(file)
  }
  // The locks of the dead would hold up their successor for some seconds.
  for (const file of filesBelow(join(state, 'locks'))) rmSync(file)
}

/** Whether the certificate is there with all of its chain, and the key is its own. */
function isPair(path: string): boolean {
  const chain = read(`${path}.crt`)
  const key = read(`${path}.key`)
  try {
    const isEnded = chain.trimEnd().endsWith('-----END CERTIFICATE-----')
    return isEnded && new X509Certificate(chain).checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

function isJson(file: string): boolean {
  const text = read(file)
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function withoutEnding(file: string): string {
  return file.replace(/\.(crt|key|json)$/, '')
}

/** Through no symlink: the directory is Caddy's, and we are root. */
function filesBelow(dir: string): string[] {
  let entries: Dirent[]
  try {
    entries = readdirSync(dir, { recursive: true, withFileTypes: true })
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return [] // Caddy says it better
    throw error
  }
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (errno(error) === 'ENOENT') return ''
    throw error
  }
}
