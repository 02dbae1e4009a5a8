import { connect, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { connect as connectTls } from 'node:tls'
import { Failure } from '../../core/errors.ts'
import { http, https } from '../../core/http.ts'
import { maskAddresses } from '../../core/mask.ts'
import { printable } from '../../core/names.ts'
import type { LogLine } from '../../runner/logs.ts'
import type { Gate } from './own-network.ts'

/** Where log lines go to, and in which form: syslog (RFC 5424) or JSON lines over HTTP. */

export type AppLine = LogLine & { app: string }

/**
 * `send` resolves when the other side has taken the lines, and throws when it has not. `close` lets
 * what was sent arrive, `drop` does not wait; both may be followed by another `send`.
 */
export type DrainTarget = {
  send: (lines: AppLine[]) => Promise<void>
  close: () => void
  drop: () => void
}

const sendTimeoutMs = 10_000
const kinds = new Set(['https:', 'http:', 'syslog+tls:', 'syslog+tcp:'])

/** The address as it is kept; a usage Failure for anything that is none. */
export function parseDrain(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isSyslog = url?.protocol.startsWith('syslog') ?? false
  const known = url && kinds.has(url.protocol) && url.hostname !== ''
  if (known && (!isSyslog || url.port !== '')) return url.href
  throw new Failure('usage', `"${printable(maskAddresses(text))}" is not the address of a drain`, {
    hint: 'Use https://…, http://…, syslog+tls://host:6514 or syslog+tcp://host:514',
  })
}

/** Of an address that `parseDrain` took: without the brackets of IPv6. */
export function drainHost(address: string): string {
  return new URL(address).hostname.replace(/^\[|\]$/g, '')
}

export function openTarget(address: string, gate?: Gate): DrainTarget {
  const url = new URL(address)
  const target = url.protocol.startsWith('http') ? httpTarget(url, gate) : syslogTarget(url, gate)
  return {
    ...target,
    async send(lines) {
      gate?.check(drainHost(address)) // an address is not looked up
      await target.send(lines)
    },
  }
}

function httpTarget(url: URL, gate?: Gate): DrainTarget {
  const request = (url.protocol === 'https:' ? https : http).request
  return {
    async send(lines) {
      const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const call = request(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-ndjson',
          'content-length': Buffer.byteLength(body),
        },
        signal: AbortSignal.timeout(sendTimeoutMs),
        ...(gate && { lookup: gate.lookup }),
      })
      call.on('error', reject)
      call.on('response', (response) => {
        const { statusCode: status = 0 } = response
        response.resume()
        if (status >= 200 && status < 300) resolve()
        else reject(new Error(`it answered ${status}`))
      })
      call.end(body)
      await promise
    },
    close: () => {},
    drop: () => {},
  }
}

/** One connection that is kept; lost lines of a broken one are not known to syslog, nor to us. */
function syslogTarget(url: URL, gate?: Gate): DrainTarget {
  let socket: Socket | undefined
  const leave = (how: 'destroySoon' | 'destroy') => () => {
    socket?.[how]()
    socket = undefined
  }
  const drop = leave('destroy')
  return {
    async send(lines) {
      if (socket?.readyState !== 'open') drop() // the other side has closed it meanwhile
      socket ??= await openSocket(url, gate)
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const late = setTimeout(() => reject(new Error('it takes nothing')), sendTimeoutMs)
      const closed = () => reject(new Error('it closed the connection'))
      socket.once('close', closed)
      socket.write(lines.map(syslogFrame).join(''), (error) => (error ? reject(error) : resolve()))
      try {
        await promise
      } catch (error) {
        drop()
        throw error
      } finally {
        clearTimeout(late)
        socket?.off('close', closed)
      }
    },
    close: leave('destroySoon'),
    drop,
  }
}

async function openSocket(url: URL, gate?: Gate): Promise<Socket> {
  const at = {
    host: drainHost(url.href),
    port: Number(url.port),
    ...(gate && { lookup: gate.lookup }),
  }
  const secure = url.protocol === 'syslog+tls:'
  const socket = secure ? connectTls({ ...at, servername: at.host }) : connect(at)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once(secure ? 'secureConnect' : 'connect', resolve)
  socket.on('error', reject) // stays: a later error is also told by the write that meets it
  const late = setTimeout(() => reject(new Error('no answer')), sendTimeoutMs)
  try {
    await promise
    socket.resume() // it has nothing to say, and its end must be seen
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(late)
  }
}

/** One message of RFC 5424, framed by its length (RFC 6587). Pure. */
export function syslogFrame(line: AppLine): string {
  const priority = line.stream === 'stderr' ? 131 : 134 // local0, error or information
  const at = line.at.replace(/(\.\d{6})\d*/, '$1')
  const release = line.release > 0 ? `v${line.release}` : '-'
  const head = `<${priority}>1 ${at} ${hostname()} ${line.app} ${line.process} ${release} -`
  const message = `${head} ${line.text}`
  return `${Buffer.byteLength(message)} ${message}`
}
