import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { acknowledgeAtOnce } from '../../receiver/quick-ack.ts'

/** How the median of so many pairs of small packets is apart, in milliseconds. */
const pairs = 11

test('a small packet does not wait for the acknowledgement of the one before', async () => {
  const waiting = await apart(() => {})
  const atOnce = await apart(acknowledgeAtOnce)
  expect(atOnce).toBeLessThan(waiting / 2)
})

/**
 * A client talks with a server in turns, after which the kernel waits with its acknowledgements for
 * an answer to carry them, and then sends two packets, of which only the second is answered.
 */
async function apart(prepare: (socket: Socket) => void): Promise<number> {
  const times: number[] = []
  let first = 0
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', (data) => {
      const text = data.toString()
      if (text.startsWith('a')) first = performance.now()
      if (text.endsWith('b')) times.push(performance.now() - first)
      if (!text.endsWith('a')) socket.write('answer')
    })
    prepare(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' })
  await once(client, 'connect')
  for (let pair = 0; pair < pairs; pair += 1) {
    for (let turn = 0; turn < 3; turn += 1) {
      client.write('turn')
      await once(client, 'data')
    }
    client.write('a')
    await new Promise((sent) => setImmediate(sent)) // a packet of its own
    client.write('b')
    await once(client, 'data')
  }
  client.destroy()
  server.close()
  return times.toSorted((one, two) => one - two)[Math.floor(pairs / 2)] ?? NaN
}
