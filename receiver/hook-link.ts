import type { Socket } from 'node:net'
import { resolve } from 'node:path'
import { Failure } from '../core/errors.ts'
import type { PushRequest } from './receive-pack.ts'

/** The daemon's end of the two sockets that `hooks/pre-receive` inherits through git. */

const factsBytesMost = 4 * 1024 * 1024

/**
 * Resolves with what the hook tells, or null when git ends without running it (nothing to push).
 * Throws a Failure when it tells more than 4 MiB.
 */
export function readPush(control: Socket, repo: string): Promise<PushRequest | null> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<PushRequest | null>()
  const chunks: Buffer[] = []
  let bytes = 0
  control.on('error', () => {}) // a killed hook is seen as its end
  control.on('end', () => settle(null))
  control.on('close', () => settle(null))
  control.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > factsBytesMost) return reject(tooManyRefs())
    chunks.push(chunk)
    const tail = Buffer.concat(chunks.slice(-8)).subarray(-5).toString('latin1')
    if (tail !== '\nend\n') return
    settle(parseFacts(Buffer.concat(chunks).toString('utf8'), repo))
  })
  return promise
}

/** The facts as the hook prints them: `env NAME value`, `ref old new name`, `end`. */
export function parseFacts(text: string, repo: string): PushRequest {
  const request: PushRequest = { updates: [], gitEnv: {} }
  for (const line of text.split('\n')) {
    const [kind, first = '', second = '', ...rest] = line.split(' ')
    if (kind === 'ref') {
      request.updates.push({ ref: rest.join(' '), oldSha: first, newSha: second })
    } else if (kind === 'env') {
      const value = line.slice(`env ${first} `.length)
      if (value !== '') request.gitEnv[first] = resolve(repo, value)
    }
  }
  return request
}

function tooManyRefs(): Failure {
  return new Failure('usage', 'Could not take the push: it changes too many refs at once', {
    hint: 'Push one branch: git push paas main',
  })
}
