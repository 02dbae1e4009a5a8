import { connect } from 'node:net'
import { errno } from '../core/errors.ts'

/** Whether something accepts on a port: undefined when it does, or what was seen instead. */
export function dial(
  host: string,
  port: number,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const socket = connect({ host, port, signal: options.signal })
  socket.setTimeout(options.timeoutMs, () => resolve('no answer'))
  socket.once('connect', () => resolve(undefined))
  socket.once('error', (error) => resolve(dialError(error)))
  return promise.finally(() => socket.destroy())
}

/** A connection's error in the words of a person. */
export function dialError(error: Error): string {
  return words[errno(error) ?? ''] ?? error.message
}

export const refusal = 'connection refused'

const words: Record<string, string> = {
  ECONNREFUSED: refusal,
  ETIMEDOUT: 'no answer',
  EHOSTUNREACH: 'host unreachable',
  ECONNRESET: 'connection reset',
}
