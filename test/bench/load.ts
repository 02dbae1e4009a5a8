import { setTimeout as pause } from 'node:timers/promises'
import { type Figure } from './stats.ts'
import { keepWebsockets, type Span } from './websockets.ts'
import { nodeApp, type Paas, startPaas } from '../system/instance.ts'
import { startLoad } from '../system/load.ts'

const requests = 100_000
const perSecond = 500
const drainSeconds = 10
const sockets = 100
const deploys = 50

/**
 * Half of the requests with keep-alive and half without, one in ten a slow POST, and a hundred
 * websockets, while the app is pushed, configured and scaled without a pause.
 */
export async function benchLoad(): Promise<Figure[]> {
  await using paas = await startPaas({ PAAS_DRAIN_TIMEOUT: String(drainSeconds) })
  await push(paas, 'first')
  const target = { port: paas.config.httpPort, host: `shop.${paas.config.domain}` }
  const began = performance.now()
  const spans: Span[] = []
  const loads = [true, false].map((keepAlive) => {
    const slow = { every: 10, ms: 1500 }
    return startLoad({ ...target, keepAlive, slow, perSecond: perSecond / 2 })
  })
  const websockets = keepWebsockets({
    ...target,
    count: sockets,
    drainMs: drainSeconds * 1000,
    changes: spans,
  })
  for (const change of plan(paas)) {
    const from = performance.now()
    await change()
    spans.push({ began: from, ended: performance.now() })
    // Evenly over the time that the requests take.
    const share = (spans.length / plan(paas).length) * (requests / perSecond) * 1000
    await pause(Math.max(0, began + share - performance.now()))
  }
  const counts = await Promise.all(loads.map((load) => load.stop()))
  const found = await websockets.stop()
  const during = `in ${deploys} redeploys, ${deploys} config:set and scaling 1 → 4 → 1`
  for (const line of new Set([...counts.flatMap(({ lost }) => lost), ...found.lost])) {
    process.stderr.write(`lost: ${line}\n`)
  }
  return [
    ...counts.map(({ sent, lost }, index) => ({
      name: `requests lost ${during}, keep-alive ${index ? 'off' : 'on'} (of ${sent})`,
      value: lost.length,
      unit: 'requests' as const,
      bar: 0,
    })),
    {
      name: `websockets lost: ended before the drain of their old set (of ${found.opened})`,
      value: found.lost.length,
      unit: 'websockets',
      bar: 0,
    },
  ]
}

/** Redeploys and config:set in turn; in the middle the app is scaled up and down. */
function plan(paas: Paas): (() => Promise<void>)[] {
  const pairs = Array.from({ length: deploys }, (_, round) => [
    () => push(paas, `round ${round}`),
    () => must(paas.ssh(['config:set', 'shop', `ROUND=${round}`])),
  ])
  const scale = (web: number) => () => must(paas.ssh(['ps:scale', 'shop', `web=${web}`]))
  pairs.splice(deploys / 2, 0, [scale(4), scale(1)])
  return pairs.flat()
}

async function push(paas: Paas, body: string): Promise<void> {
  await must(paas.push('shop', await paas.tree('shop', socketApp(body))))
}

async function must(command: Promise<{ code: number; out: string }>): Promise<void> {
  const { code, out } = await command
  if (code !== 0) throw new Error(out)
}

/** Answers when the whole body is there, and holds websockets, each told something every second. */
function socketApp(body: string) {
  const before = `
const { createHash } = require('node:crypto')
const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
setImmediate(() => {
  const [answer] = server.listeners('request')
  server.removeAllListeners('request')
  server.on('request', (req, res) => req.resume().on('end', () => answer(req, res)))
  server.on('upgrade', (req, socket) => {
    const accept = createHash('sha1').update(req.headers['sec-websocket-key'] + magic)
    socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\n' +
      'Connection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept.digest('base64') + '\\r\\n\\r\\n')
    const timer = setInterval(() => socket.write(Buffer.from([0x81, 2, 104, 105])), 1000)
    socket.on('error', () => {}).on('close', () => clearInterval(timer)).resume()
  })
})`
  return nodeApp(body, { before })
}
