import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { shellText } from '../../core/shell-text.ts'

/** The key by which paas itself fetches over ssh, made when it is first wanted. */

/** The public half, as a git host wants it. */
export async function publicDeployKey(config: PaasConfig): Promise<string> {
  const file = keyFile(config)
  if (!existsSync(file)) {
    const about = ['-C', `paas@${config.domain}`, '-f', file]
    await exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', ...about])
  }
  return (await readFile(`${file}.pub`, 'utf8')).trim()
}

/** For git: this key alone, asking nobody, and a host's key kept when it is first seen. */
export async function sshCommand(config: PaasConfig): Promise<string> {
  await publicDeployKey(config)
  const options = [
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'StrictHostKeyChecking=accept-new',
    `UserKnownHostsFile=${shellText([join(config.home, 'known_hosts')])}`,
    'ConnectTimeout=20',
    'ServerAliveInterval=20',
  ]
  const flags = options.flatMap((option) => ['-o', option])
  return shellText(['ssh', '-F', '/dev/null', '-i', keyFile(config), ...flags])
}

function keyFile({ home }: PaasConfig): string {
  return join(home, 'deploy_key')
}
