import { chmodSync, chownSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { routerPaths } from './routes.ts'

/** An unprivileged user of the host, by its numbers. */
export type HostUser = { name: string; uid: number; gid: number }

/**
 * Makes what Caddy needs: routes it may read, and two directories of its own, closed to others:
 * one for sockets, one for certificates and logs. Throws a Failure when a parent is closed to it.
 */
export function makeDirectories(config: PaasConfig): HostUser {
  const at = routerPaths(config)
  const user = caddyUser()
  for (const dir of [config.home, config.run]) makePassable(dir)
  for (const dir of [at.run, at.routes, at.apps, at.hosts, at.pages]) {
    mkdirSync(dir, { recursive: true })
    chmodSync(dir, 0o755) // the umask of whoever started us does not matter
  }
  for (const dir of [at.state, at.sockets]) {
    mkdirSync(dir, { recursive: true })
    chmodSync(dir, 0o700)
    chownSync(dir, user.uid, user.gid)
  }
  refuseClosedParents(config.home, 'PAAS_HOME')
  refuseClosedParents(config.run, 'PAAS_RUN')
  return user
}

/** The user that Caddy's package makes, or the one that owns nothing. */
function caddyUser(): HostUser {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const wanted of ['caddy', 'nobody']) {
    const found = users.find(([name]) => name === wanted)
    if (found) return { name: wanted, uid: Number(found[2]), gid: Number(found[3]) }
  }
  throw new Failure('failed', 'The host has neither a user "caddy" nor "nobody" to run Caddy as')
}

function makePassable(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o711 })
  const { mode } = statSync(dir)
  if (!(mode & 0o001)) chmodSync(dir, (mode & 0o777) | 0o011)
}

function refuseClosedParents(dir: string, variable: string): void {
  for (let parent = dirname(dir); parent !== '/'; parent = dirname(parent)) {
    if (statSync(parent).mode & 0o001) continue
    throw new Failure('failed', `Caddy cannot reach ${dir}: ${parent} is closed to other users`, {
      hint: `Choose another ${variable}, or run: chmod o+x ${parent}`,
    })
  }
}
