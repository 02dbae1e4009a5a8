import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { Failure } from '../../core/errors.ts'
import { listenSsh } from '../../receiver/server.ts'
import type { Doors } from '../../receiver/session.ts'
import { patience } from '../patience.ts'
import {
  connectClient,
  openChannel,
  rawConnection,
  ssh,
  sshArgs,
  startClient,
  startServer,
  until,
} from './fixture.ts'

const hello: Doors['command'] = async ({ stdout }) => {
  stdout.write('hello\n')
  return 0
}

describe('the ssh server', () => {
  test('survives 300 connections that send garbage or vanish', async () => {
    const server = await startServer(
      { command: hello },
      { connections: 400, connectionsPerAddress: 400 },
    )
    const ident = Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')
    for (let group = 0; group < 10; group += 1) {
      const ended = Array.from({ length: 30 }, async (_, index) => {
        const bytes = randomBytes(1 + Math.floor(Math.random() * 3000))
        const sends = [bytes, Buffer.concat([ident, bytes]), ident, packet(bytes), undefined]
        const { socket, closed } = rawConnection(server.port, sends[index % sends.length])
        const how = index % 3
        if (how === 0) socket.resetAndDestroy()
        if (how === 1) socket.end()
        if (how === 2) setTimeout(() => socket.destroy(), Math.random() * 50)
        await closed
      })
      await Promise.all(ended)
    }
    expect((await ssh(server, ['x'])).stdout).toBe('hello\n')
  })

  test('survives clients killed at any moment of a session', async () => {
    const server = await startServer({
      command: async ({ stdout, signal }) => {
        while (!signal.aborted) {
          if (!stdout.write(Buffer.alloc(65_536))) await once(stdout, 'drain', { signal })
        }
        return 0
      },
    })
    for (let group = 0; group < 5; group += 1) {
      const ended = Array.from({ length: 8 }, async () => {
        const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
        client.stdout?.resume()
        setTimeout(() => client.kill('SIGKILL'), Math.random() * 120)
        await once(client, 'close')
      })
      await Promise.all(ended)
    }
    expect((await ssh(server, ['"'])).code).toBe(2)
  })

  test('turns away whom it has no room for, and takes others once there is room', async () => {
    const server = await startServer({ command: hello }, { connectionsPerAddress: 3 })
    const held = [1, 2, 3].map(() => rawConnection(server.port))
    await Promise.all(held.map(({ socket }) => once(socket, 'data')))
    const { closed } = rawConnection(server.port)
    expect(await closed).toBe('Too many connections\r\n')
    held[0]?.socket.destroy()
    await until(async () => (await ssh(server, ['x'])).code === 0)
  })

  test('counts all addresses together too', async () => {
    const server = await startServer({}, { connections: 2, connectionsPerAddress: 100 })
    const held = [1, 2].map(() => rawConnection(server.port))
    await Promise.all(held.map(({ socket }) => once(socket, 'data')))
    expect(await rawConnection(server.port).closed).toBe('Too many connections\r\n')
  })

  test('cuts off whoever does not log in within the grace time, and nobody after it', async () => {
    const grace = 1500 // the third must have logged in by then
    const server = await startServer(
      {
        command: async ({ stdout }) => {
          await new Promise((resolve) => setTimeout(resolve, grace * 1.1))
          stdout.write('still here\n')
          return 0
        },
      },
      { loginGraceMs: grace },
    )
    const start = performance.now()
    const silent = rawConnection(server.port).closed
    const halfway = rawConnection(server.port, Buffer.from('SSH-2.0-slow\r\n')).closed
    const long = ssh(server, ['x'])
    await Promise.all([silent, halfway])
    expect(performance.now() - start).toBeGreaterThan(grace * 0.9)
    expect(performance.now() - start).toBeLessThan(patience(grace * 2))
    expect((await long).stdout).toBe('still here\n')
  })

  test('opens so many channels on one connection and no more, until some close', async () => {
    const go = Promise.withResolvers<void>()
    const server = await startServer(
      {
        command: async () => {
          await go.promise
          return 0
        },
      },
      { channelsPerConnection: 4 },
    )
    const client = await connectClient(server)
    const channels = await Promise.all([1, 2, 3, 4].map(() => openChannel(client)))
    await expect(openChannel(client)).rejects.toThrow('Channel open failure')
    const closed = channels.map((channel) => once(channel, 'close'))
    go.resolve()
    await Promise.all(closed)
    await expect(openChannel(client)).resolves.toBeDefined()
  })

  test('cuts off a client that sends more than its window', async () => {
    let received = 0
    const server = await startServer({
      command: async ({ stdin, signal }) => {
        stdin.once('readable', () => {})
        await once(signal, 'abort')
        received = stdin.readableLength
        return 0
      },
    })
    const client = await connectClient(server)
    const channel = await openChannel(client)
    const outgoing: unknown = Reflect.get(channel, 'outgoing')
    if (typeof outgoing !== 'object' || outgoing === null) throw new Error('No window to ignore')
    Reflect.set(outgoing, 'window', 2 ** 31)
    const lost = new Promise<string>((resolve) => {
      client.on('error', (error) => resolve(error.message))
    })
    channel.write(Buffer.alloc(32 * 1024 * 1024))
    expect(await lost).toBe('PROTOCOL_ERROR')
    await until(() => received > 0)
    expect(received).toBeLessThan(4 * 1024 * 1024)
  })

  test('notices a client that stopped answering', async () => {
    const aborted = Promise.withResolvers<unknown>()
    let started = false
    const server = await startServer(
      {
        command: async ({ signal }) => {
          started = true
          await once(signal, 'abort')
          aborted.resolve(signal.reason)
          return 1
        },
      },
      { keepAliveMs: 100 },
    )
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    await until(() => started)
    client.kill('SIGSTOP')
    expect(await aborted.promise).toEqual(new Failure('failed', 'The client disconnected'))
    client.kill('SIGKILL')
  })

  test('keeps a quiet client that does answer', async () => {
    const keepAliveMs = 200
    const server = await startServer(
      {
        command: async () => {
          await new Promise((resolve) => setTimeout(resolve, 6 * keepAliveMs))
          return 5
        },
      },
      { keepAliveMs },
    )
    expect((await ssh(server, ['x'])).code).toBe(5)
  })

  test('forwards nothing and has no subsystems', async () => {
    const server = await startServer({ command: hello })
    const forward = await exec(
      'ssh',
      [...sshArgs(server), '-W', '127.0.0.1:22', 'paas@127.0.0.1'],
      { accept: [255] },
    )
    expect(forward.stderr).toContain('forwarding failed')
    const subsystem = await exec('ssh', [...sshArgs(server), '-s', 'paas@127.0.0.1', 'sftp'], {
      accept: [255],
    })
    expect(subsystem.stderr).toContain('subsystem request failed')
    const remote = ['-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:22']
    const { code } = await exec('ssh', [...sshArgs(server), ...remote, 'paas@127.0.0.1', 'x'], {
      accept: [0, 255],
    })
    expect(code).toBe(255)
  })

  test('aborts what runs when it closes, and waits for it', async () => {
    let ended = false
    let started = false
    const server = await startServer({
      command: async ({ signal }) => {
        started = true
        await once(signal, 'abort')
        await new Promise((resolve) => setTimeout(resolve, 100))
        ended = true
        return 0
      },
    })
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    const closed = once(client, 'close')
    await until(() => started)
    await server.close()
    expect(ended).toBe(true)
    await closed
    await expect(rawConnection(server.port).closed).resolves.toBe('')
  })

  test('says so when its port is taken', async () => {
    const server = await startServer()
    const hostKeys = [await readFile(`${server.dir}/host_keys/ssh_host_ed25519_key`, 'utf8')]
    const doors = { authorize: () => null, command: hello, receivePack: async () => 1 }
    await expect(
      listenSsh({ port: server.port, host: '127.0.0.1', hostKeys }, doors),
    ).rejects.toThrow(`Could not listen on port ${server.port}: something else listens there`)
  })
})

/** A well-formed first packet with nonsense in it. */
function packet(payload: Buffer): Buffer {
  const padding = 8 + (8 - ((5 + payload.length + 8) % 8))
  const head = Buffer.alloc(5)
  head.writeUInt32BE(1 + payload.length + padding)
  head[4] = padding
  const ident = Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')
  return Buffer.concat([ident, head, payload, Buffer.alloc(padding)])
}
