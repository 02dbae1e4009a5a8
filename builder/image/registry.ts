import { setTimeout as delay } from 'node:timers/promises'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { type Answer, type Call, openHttp } from './http.ts'
import { type Reference, referenceText } from './reference.ts'
import { noAccess, openDoor, originOf, refusePlain } from './registry-door.ts'
import type { RegistryAccess } from './registry-door.ts'

export type Registry = ReturnType<typeof openRegistry>

const tries = 3
const retryMs = 500
const redirectsMost = 5

type Asked = Omit<Call, 'url' | 'signal'> & {
  /** Within the repository (`manifests/v1`), or whole as the registry gave it. */
  to: string | URL
  /** Statuses that are answers; any other is a Failure. */
  accept: number[]
}

/**
 * One repository of a registry, as its API has it. Each request is tried again when that may help;
 * it asks for a token when the registry wants one. Dispose of it at the end.
 */
export function openRegistry(reference: Reference, access: RegistryAccess, signal: AbortSignal) {
  const { repository } = reference
  const origin = originOf(reference, access)
  const http = openHttp()
  const door = openDoor({ reference, access, origin, http, signal })

  async function once({ to, accept, ...rest }: Asked): Promise<Answer> {
    let url = to instanceof URL ? to : new URL(`/v2/${repository}/${to}`, origin)
    for (let hops = 0; ; hops++) {
      const answer = await door.send({ ...rest, url, signal })
      const next = answer.header('location')
      const moves = answer.status >= 300 && answer.status < 400 && next !== undefined
      if (!moves || hops === redirectsMost || !['GET', 'HEAD'].includes(rest.method)) {
        if (accept.includes(answer.status)) return answer
        throw await refusal(reference, rest.method, answer)
      }
      answer.discard()
      url = new URL(next, url)
      refusePlain(url, origin)
    }
  }

  return {
    reference,
    wants: door.wants,
    /** Where the registry says that a request goes on. */
    location(answer: Answer): URL {
      const url = new URL(answer.header('location') ?? '', origin)
      refusePlain(url, origin)
      return url
    },
    once,
    /** The same, up to three times while nothing but the moment is against it. */
    async ask(asked: Asked): Promise<Answer> {
      return retrying(() => once(asked), signal)
    },
    [Symbol.dispose]: () => http[Symbol.dispose](),
  }
}

/** Does something again when it failed for the moment only. */
export async function retrying<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await work()
    } catch (error) {
      stopIfCancelled(signal)
      const passes = error instanceof Failure && error.code === 'temporary'
      if (!passes || count === tries) throw error
      await delay(retryMs * count ** 2, undefined, { signal }).catch(() => {})
      stopIfCancelled(signal)
    }
  }
}

const reasonBytesMost = 16 * 1024

async function refusal(reference: Reference, method: string, answer: Answer): Promise<Failure> {
  const { status } = answer
  const name = referenceText(reference)
  const said = reasonOf(await answer.bytes(reasonBytesMost).catch(() => Buffer.alloc(0)))
  if (status === 401 || status === 403) return noAccess(reference, said || `it answered ${status}`)
  if (status === 404 && method !== 'POST') {
    return new Failure('failed', `${name} is not there`, { hint: 'Check its name and its tag' })
  }
  const sentence = `${reference.host} answered ${status} for ${name}${said ? `: ${said}` : ''}`
  const passes = status === 429 || status >= 500
  return new Failure(passes ? 'temporary' : 'failed', sentence, {
    hint: passes ? 'Try again soon' : '',
  })
}

/** `{"errors":[{"code":"…","message":"…"}]}` */
function reasonOf(bytes: Buffer): string {
  const message = /"message"\s*:\s*"((?:[^"\\]|\\.){1,200})/.exec(bytes.toString('utf8'))?.[1]
  return (message ?? '').replace(/[\x00-\x1f\x7f-\x9f]/g, ' ')
}
