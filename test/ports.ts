import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { workerShare } from './worker-share.ts'

/** Ports that some part of some instance has, or will have in a moment. */
const given = new Set<number>()

/** A port that nothing listens on, outside the kernel's ephemeral range. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(...workerShare(20_000, 32_000))
    if (given.has(port)) continue
    given.add(port)
    const server = createServer()
    const { promise, resolve: done } = Promise.withResolvers<boolean>()
    server.once('error', () => done(false)).once('listening', () => done(true))
    server.listen({ port, exclusive: true })
    if (!(await promise)) continue
    await new Promise((closed) => server.close(closed))
    return port
  }
}
