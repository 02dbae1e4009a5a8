import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { PaasConfig } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'

/** Throws a Failure that names the port, its variable and who has it, unless all ours are free. */
export async function checkPorts(config: PaasConfig): Promise<void> {
  const wanted: [string, number][] = [
    ['PAAS_SSH_PORT', config.sshPort],
    ['PAAS_HTTP_PORT', config.httpPort],
    ['PAAS_HTTPS_PORT', config.httpsPort],
  ]
  for (const [variable, port] of wanted) {
    if (await isFree(port)) continue
    const holder = await holderOf(port)
    if (holder && (await isOurs(holder.pid, config))) continue // our router outlives the daemon
    const who = holder ? `${holder.program} (process ${holder.pid})` : 'another program'
    throw new Failure('failed', `Port ${port} is taken by ${who}`, {
      hint: `Stop it, or choose another port: ${variable}=${otherPort(port)}`,
    })
  }
}

/** 80 becomes 8080, 443 becomes 8443. */
function otherPort(port: number): number {
  return port < 24_000 ? port + 8000 : port - 8000
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  server.once('listening', () => resolve(true))
  server.once('error', (error) => (errno(error) === 'EADDRINUSE' ? resolve(false) : reject(error)))
  server.listen({ port, exclusive: true })
  const free = await promise
  server.close()
  return free
}

async function holderOf(port: number): Promise<{ program: string; pid: number } | undefined> {
  const { stdout } = await exec('ss', ['-Hltnp', 'sport', '=', `:${port}`])
  const [, program, pid] = /\("([^"]+)",pid=(\d+)/.exec(stdout) ?? []
  return program && pid ? { program, pid: Number(pid) } : undefined
}

/** Our router names this instance's run directory in its arguments or its environment. */
async function isOurs(pid: number, config: PaasConfig): Promise<boolean> {
  const files = [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`]
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))
  return texts.some((text) => text.includes(`${config.run}/`))
}
