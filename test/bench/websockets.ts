import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** When a change of the app began and ended, in milliseconds of `performance.now()`. */
export type Span = { began: number; ended: number }

const silenceMs = 10_000
const reopenMs = 50

/**
 * Keeps `count` websockets open, each opened anew when it ends. A server may close one when the
 * drain time of its old set is over: one that ends earlier, falls silent or cannot be opened is
 * lost. `changes` are those of the app so far; the switch of each comes after its beginning.
 */
export function keepWebsockets(o: {
  port: number
  host: string
  count: number
  drainMs: number
  changes: Span[]
}) {
  const found = { opened: 0, ended: 0, lost: [] as string[] }
  const stop = new AbortController()
  const holders = Array.from({ length: o.count }, async () => {
    while (!stop.signal.aborted) {
      const socket = await upgrade(o).catch((error: Error) => void found.lost.push(error.message))
      if (!socket) {
        await pause(reopenMs)
        continue
      }
      found.opened += 1
      const opened = performance.now()
      const why = await ended(socket, stop.signal)
      if (stop.signal.aborted) return
      found.ended += 1
      const allowed = endOfDrain(o, opened)
      if (why !== 'closed') found.lost.push(why)
      else if (performance.now() < allowed) found.lost.push('closed before the end of its drain')
    }
  })
  return {
    async stop() {
      stop.abort()
      await Promise.all(holders)
      return found
    },
  }
}

/** The first change that ended after the socket opened is the first that can have retired it. */
function endOfDrain(o: { drainMs: number; changes: Span[] }, opened: number): number {
  const change = o.changes.find(({ ended: at }) => at > opened)
  return change ? change.began + o.drainMs : Infinity
}

function upgrade(o: { port: number; host: string }): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const headers = {
    host: o.host,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
  }
  const call = request({ host: '127.0.0.1', port: o.port, headers, agent: false })
  call.setTimeout(silenceMs, () => call.destroy(new Error('no answer to an upgrade')))
  call.on('error', reject)
  call.on('response', ({ statusCode }) => {
    reject(new Error(`an upgrade was answered with ${statusCode}`))
    call.destroy()
  })
  call.on('upgrade', (_response, socket: Socket) => resolve(socket))
  call.end()
  return promise
}

/** Resolves with how it ended; the server sends something every second. */
function ended(socket: Socket, signal: AbortSignal): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let why = 'closed'
  socket.setTimeout(silenceMs, () => {
    why = 'silent'
    socket.destroy()
  })
  socket.on('error', () => {}) // a reset is an end like any other: its moment is what counts
  socket.on('close', () => resolve(why))
  socket.resume()
  signal.addEventListener('abort', () => socket.destroy(), { once: true })
  return promise
}
