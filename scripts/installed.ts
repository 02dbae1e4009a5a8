import { readFileSync } from 'node:fs'
import { readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { readConfig } from '../core/config.ts'
import { Failure } from '../core/errors.ts'

/** What scripts/install leaves on the host: the instance's settings and the `paas` command. */

export const settingsFile = '/etc/paas.env'
export const commandLink = '/usr/local/bin/paas'

/** Is this instance the one that was installed on this host? */
export function isInstalled(config: PaasConfig): boolean {
  try {
    return readConfig(parseSettings(readFileSync(settingsFile, 'utf8'))).home === config.home
  } catch {
    return false // nothing was ever installed here
  }
}

/** Keeps the settings and puts `paas` on the PATH; a command of another program stays. */
export async function remember(env: NodeJS.ProcessEnv, repository: string): Promise<void> {
  await writeFile(settingsFile, settingsText(env))
  const present = await readlink(commandLink).catch(() => undefined)
  if (present?.endsWith('/scripts/paas')) await rm(commandLink)
  await symlink(join(repository, 'scripts/paas'), commandLink)
}

/** Undoes `remember`. */
export async function forget(): Promise<void> {
  await rm(settingsFile, { force: true })
  const present = await readlink(commandLink).catch(() => undefined)
  if (present?.endsWith('/scripts/paas')) await rm(commandLink)
}

/** What the daemon needs of its installer's environment: a service manager passes none of it on. */
export function settingsText(env: NodeJS.ProcessEnv): string {
  const lines = Object.entries(env)
    .filter(([name]) => isSetting.test(name))
    .map(([name, value = '']) => `${name}="${quotable(name, value)}"\n`)
  return `# Written by scripts/install: the settings of the installed paas.\n${lines.sort().join('')}`
}

/** Reads back what `settingsText` wrote. */
export function parseSettings(text: string): Record<string, string> {
  const pairs = text.matchAll(/^(\w+)="([^"]*)"$/gm)
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]))
}

const isSetting =
  /^PAAS_(?!TURN$)|^(https?|no)_proxy$|^(HTTPS?|NO)_PROXY$|^(NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)$/

/** sh and systemd both read the file, and each has its own idea of these characters. */
function quotable(name: string, value: string): string {
  if (!/["`$\\\n]/.test(value)) return value
  throw new Failure('usage', `${name} holds a quote, "$", backslash or line break`, {
    hint: `Such a value cannot be kept in ${settingsFile}`,
  })
}
