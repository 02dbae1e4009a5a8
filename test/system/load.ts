import { Agent, type ClientRequest, request } from 'node:http'

/** Requests at a steady rate through the router, until stopped; counts what came back. */
export type Load = { sent: number; lost: string[]; bodies: Map<string, number> }

/** One request in `every` is a POST whose body takes `ms` to come. */
export type SlowPosts = { every: number; ms: number }

const slowPieces = 8
const slowPieceBytes = 4096

export function startLoad(o: {
  port: number
  host: string
  perSecond: number
  keepAlive: boolean
  slow?: SlowPosts
}) {
  const agent = new Agent({ keepAlive: o.keepAlive, maxSockets: o.slow ? 512 : 64 })
  const load: Load = { sent: 0, lost: [], bodies: new Map() }
  const open = new Set<Promise<void>>()
  const began = performance.now()
  const timer = setInterval(() => {
    const due = ((performance.now() - began) / 1000) * o.perSecond
    while (load.sent < due) send()
  }, 5)

  function send(): void {
    load.sent += 1
    const { promise, resolve } = Promise.withResolvers<void>()
    open.add(promise)
    void promise.then(() => open.delete(promise))
    const fail = (why: string) => {
      load.lost.push(why)
      resolve()
    }
    const headers = { host: o.host, 'content-type': 'text/plain' }
    const slow = o.slow && load.sent % o.slow.every === 0 ? o.slow : undefined
    const method = slow ? 'POST' : 'GET'
    const options = { host: '127.0.0.1', port: o.port, method, agent, headers, timeout: 20_000 }
    const call = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', (error) => fail(error.message))
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8')
        if (response.statusCode !== 200) return fail(`${response.statusCode} ${body.slice(0, 80)}`)
        load.bodies.set(body, (load.bodies.get(body) ?? 0) + 1)
        resolve()
      })
    })
    call.on('timeout', () => call.destroy(new Error('no answer within 20 s')))
    call.on('error', (error) => fail(error.message))
    if (slow) trickle(call, slow.ms)
    else call.end()
  }

  return {
    /** Stops sending, waits for what is open, and returns the counts. */
    async stop(): Promise<Load> {
      clearInterval(timer)
      await Promise.all(open)
      agent.destroy()
      return load
    },
  }
}

/** Sends a body in pieces, evenly over `ms`. */
function trickle(call: ClientRequest, ms: number): void {
  let left = slowPieces
  const timer = setInterval(() => {
    left -= 1
    if (left > 0 && !call.destroyed) return void call.write(Buffer.alloc(slowPieceBytes, 46))
    clearInterval(timer)
    call.end()
  }, ms / slowPieces)
}
