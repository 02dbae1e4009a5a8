import { setTimeout as delay } from 'node:timers/promises'
import type { HealthCheck, Probe } from '../core/app-json.ts'
import { appPort } from '../core/config.ts'
import { cancelled, Failure } from '../core/errors.ts'
import { http } from '../core/http.ts'
import type { Instance } from '../core/types.ts'
import { dial, dialError } from './dial.ts'
import { execInside } from './exec-in.ts'
import type { Host } from './host.ts'

/**
 * Asks a container once how it is: undefined when well, or what was seen instead, such as
 * `answered 503`. Takes `timeoutMs` of the check at most; an uptime is waited for.
 */
export async function probe(
  host: Host,
  instance: Instance,
  { probe: asked, timeoutMs }: Pick<HealthCheck, 'probe' | 'timeoutMs'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const limits = { timeoutMs, signal }
  const own = instance.port ?? appPort
  if (asked.kind === 'path') return get(instance.address, { port: own, ...asked }, limits)
  if (asked.kind === 'listening') return dial(instance.address, asked.port ?? own, limits)
  if (asked.kind === 'command') return run(host, instance, asked.argv, limits)
  const left = instance.startedAt + asked.uptimeMs - Date.now()
  await delay(Math.max(0, left), undefined, { signal }).catch(() => {})
  return undefined
}

/** What is asked, as a person would say it. */
export function describeProbe(asked: Probe): string {
  if (asked.kind === 'path') {
    return `GET ${asked.path}${asked.port === undefined ? '' : ` on port ${asked.port}`}`
  }
  if (asked.kind === 'listening') return `port ${asked.port ?? '$PORT'}`
  if (asked.kind === 'uptime') return `${asked.uptimeMs / 1000} s up`
  return `"${(asked.argv[0] === 'sh' ? asked.argv.slice(2) : asked.argv).join(' ')}"`
}

type Limits = { timeoutMs: number; signal: AbortSignal }

function get(
  host: string,
  { path, port }: { path: string; port: number },
  { timeoutMs, signal }: Limits,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const call = http.request({ host, port, path, agent: false, signal, headers: { accept: '*/*' } })
  const late = setTimeout(() => resolve(`no answer within ${timeoutMs / 1000} s`), timeoutMs)
  call.once('error', (error) => resolve(dialError(error)))
  call.once('response', ({ statusCode = 0 }) => {
    resolve(statusCode >= 200 && statusCode < 400 ? undefined : `answered ${statusCode}`)
  })
  call.end()
  return promise.finally(() => {
    clearTimeout(late)
    call.destroy()
  })
}

async function run(
  host: Host,
  instance: Instance,
  argv: string[],
  limits: Limits,
): Promise<string | undefined> {
  try {
    const { code, stdout, stderr } = await execInside(host, instance.id, argv, limits)
    if (code === 0) return undefined
    const said = (stderr.trim() || stdout.trim()).split('\n').at(-1)?.slice(0, 200)
    return said ? `exited with code ${code}: ${said}` : `exited with code ${code}`
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    if (limits.signal.aborted) return cancelled(limits.signal).message
    return `did not end within ${limits.timeoutMs / 1000} s`
  }
}
