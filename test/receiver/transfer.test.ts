import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import type ssh2 from 'ssh2'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import type { CommandSession } from '../../receiver/session.ts'
import { patience } from '../patience.ts'
import { connectClient, countOutput, ssh, sshArgs } from './fixture.ts'
import { startClient, startServer, until } from './fixture.ts'

const mebibyte = 1024 * 1024

describe('a command over ssh', () => {
  test('gets its words, its name and its environment', async () => {
    const seen: CommandSession[] = []
    const server = await startServer({
      command: async (session) => {
        seen.push(session)
        return 0
      },
    })
    await ssh(server, ["config:set shop 'A=two words' $HOME"], {
      sshOptions: ['SetEnv=LANG=C.UTF-8 LD_PRELOAD=/evil.so TZ=Europe/Paris'],
    })
    expect(seen[0]).toMatchObject({
      argv: ['config:set', 'shop', 'A=two words', '$HOME'],
      identity: { name: 'tester' },
      env: { LANG: 'C.UTF-8' },
      tty: null,
    })
    expect(seen[0]?.env).not.toHaveProperty('LD_PRELOAD')
  })

  test('is help when nothing is asked, with line ends for a terminal', async () => {
    const server = await startServer({
      command: async ({ argv, stdout, tty }) => {
        stdout.write(`${argv.join(' ')}\n${tty?.term} ${tty?.columns}\n`)
        return 0
      },
    })
    const plain = await ssh(server, [])
    expect(plain.stdout).toBe('help\nundefined undefined\n')
    const args = [...sshArgs(server), '-tt', 'paas@127.0.0.1']
    const client = startClient('ssh', args, { TERM: 'xterm-256color' })
    let text = ''
    client.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    await once(client, 'close')
    expect(text).toMatch(/^help\r\nxterm-256color \d+\r\n/)
  })

  test('returns every exit code from 0 to 255', async () => {
    const server = await startServer({ command: async ({ argv }) => Number(argv[0]) })
    for (const code of [0, 1, 2, 127, 128, 254, 255]) {
      expect((await ssh(server, [String(code)])).code).toBe(code)
    }
    const client = await connectClient(server)
    const codes = Array.from({ length: 256 }, (_, code) => code)
    for (let from = 0; from < codes.length; from += 8) {
      const group = codes.slice(from, from + 8)
      const got = await Promise.all(group.map((code) => exitCode(client, String(code))))
      expect(got).toEqual(group)
    }
  })

  test('sends 100 MB whole and then exit code 42', async () => {
    const server = await startServer({ command: (session) => produce(session, 100 * mebibyte, 42) })
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    expect(await countOutput(client)).toEqual({ bytes: 100 * mebibyte, code: 42 })
  })

  test('sends 20 MB on stdout and on stderr at once, both whole, then exit code 43', async () => {
    const server = await startServer({
      command: async (session) => {
        const { stdout, stderr } = session
        await Promise.all([fill(stdout, 20 * mebibyte), fill(stderr, 20 * mebibyte)])
        return 43
      },
    })
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    let errorBytes = 0
    client.stderr?.on('data', (chunk: Buffer) => {
      errorBytes += chunk.length
    })
    expect(await countOutput(client)).toEqual({ bytes: 20 * mebibyte, code: 43 })
    expect(errorBytes).toBe(20 * mebibyte)
  })

  test('waits for a client that does not read', async () => {
    let sent = 0
    const server = await startServer({
      command: async ({ stdout }) => {
        const chunk = Buffer.alloc(65_536, 'x')
        while (sent < 64 * mebibyte) {
          if (!stdout.write(chunk)) await once(stdout, 'drain')
          sent += chunk.length
        }
        return 0
      },
    })
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    client.stdout?.pause()
    await steady(() => sent)
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThan(16 * mebibyte)
    client.stdout?.resume()
    expect(await countOutput(client)).toEqual({ bytes: 64 * mebibyte, code: 0 })
  })

  test('gives back 20 MB of input', async () => {
    const server = await startServer({
      command: async ({ stdin, stdout }) => {
        await pipeline(stdin, stdout)
        return 0
      },
    })
    const input = Buffer.alloc(20 * mebibyte, 'abcdefg')
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    client.stdin?.end(input)
    expect(await countOutput(client)).toEqual({ bytes: input.length, code: 0 })
  })

  test('makes a client with input wait until the command reads', async () => {
    const go = Promise.withResolvers<void>()
    let received = 0
    const server = await startServer({
      command: async ({ stdin }) => {
        await go.promise
        for await (const chunk of stdin) received += chunk.length
        return 0
      },
    })
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    let given = 0
    const chunk = Buffer.alloc(65_536)
    const feed = async () => {
      while (given < 64 * mebibyte) {
        if (client.stdin?.write(chunk) === false) await once(client.stdin, 'drain')
        given += chunk.length
      }
      client.stdin?.end()
    }
    const fed = feed()
    await steady(() => given)
    expect(given).toBeLessThan(8 * mebibyte)
    go.resolve()
    await fed
    expect((await countOutput(client)).code).toBe(0)
    expect(received).toBe(64 * mebibyte)
  })

  test('may leave its input unread', async () => {
    const server = await startServer({ command: async () => 7 })
    const { code } = await ssh(server, ['x'], { input: Buffer.alloc(8 * mebibyte) })
    expect(code).toBe(7)
  })

  test('may be 100,000 bytes long', async () => {
    const server = await startServer({
      command: async ({ argv, stdout }) => {
        stdout.write(String(argv[1]?.length))
        return 0
      },
    })
    expect((await ssh(server, ['config:set', 'x'.repeat(100_000)])).stdout).toBe('100000')
  })

  test('ends soon when nobody reads its output any more', async () => {
    const ended = Promise.withResolvers<unknown>()
    const server = await startServer({
      command: async ({ stdout, signal }) => {
        while (!signal.aborted) {
          stdout.write('line\n')
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
        ended.resolve(signal.reason)
        return 1
      },
    })
    for (const stdin of ['< /dev/null', '']) {
      const script = `ssh "$@" ${stdin} | head -n 1`
      const args = [...sshArgs(server), 'paas@127.0.0.1', 'logs']
      const start = performance.now()
      const client = startClient('sh', ['-c', script, 'sh', ...args])
      expect(await countOutput(client, 60_000)).toEqual({ bytes: 5, code: 0 })
      expect(performance.now() - start).toBeLessThan(patience(2000))
    }
    expect(await ended.promise).toEqual(new Failure('failed', 'The client stopped reading'))
  })

  test('is aborted when the client is killed', async () => {
    const aborted = Promise.withResolvers<number>()
    let started = false
    const server = await startServer({
      command: async ({ signal, stdout, stdin }) => {
        started = true
        signal.addEventListener('abort', () => aborted.resolve(performance.now()))
        await aborted.promise
        stdout.write('into nothing\n')
        await expect(stdin.toArray()).rejects.toThrow()
        return 1
      },
    })
    const client = startClient('ssh', [...sshArgs(server), 'paas@127.0.0.1', 'x'])
    await until(() => started)
    const start = performance.now()
    client.kill('SIGKILL')
    expect((await aborted.promise) - start).toBeLessThan(patience(1000))
  })

  test('is aborted by ^C on a terminal', async () => {
    let started = false
    const server = await startServer({
      command: async ({ signal }) => {
        started = true
        await once(signal, 'abort')
        return 130
      },
    })
    const client = startClient('ssh', [...sshArgs(server), '-tt', 'paas@127.0.0.1', 'x'])
    await until(() => started)
    client.stdin?.write('\x03')
    expect((await countOutput(client)).code).toBe(130)
  })

  test('tells its failures, each with its own status', async () => {
    const failure = new Failure('no-such-app', 'App "shpo" does not exist', {
      hint: 'See: apps:list',
    })
    const server = await startServer({ command: () => Promise.reject(failure) })
    expect(await ssh(server, ['x'])).toEqual({
      code: 20,
      stdout: '',
      stderr: ' !     App "shpo" does not exist\n !     See: apps:list\n',
    })
    const { code, stderr } = await ssh(server, ['"'])
    expect([code, stderr.split('\n')[0]]).toEqual([
      2,
      ' !     Could not read the command: it has a " that is never closed',
    ])
  })

  test('tells nothing of a defect', async () => {
    const server = await startServer({
      command: async () => {
        throw new Error('secret detail')
      },
    })
    const { code, stderr } = await ssh(server, ['x'])
    expect(code).toBe(1)
    expect(stderr).toBe(' !     Internal error; the daemon log has the details\n')
  })
})

async function produce({ stdout }: CommandSession, bytes: number, code: number): Promise<number> {
  await fill(stdout, bytes)
  return code
}

async function fill(stream: CommandSession['stdout'], bytes: number): Promise<void> {
  const chunk = Buffer.alloc(65_536, 'x')
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    if (!stream.write(chunk)) await once(stream, 'drain')
  }
}

/** Waits until a number has not changed for 300 ms. */
async function steady(read: () => number): Promise<void> {
  let last = -1
  let since = performance.now()
  await until(() => {
    const now = read()
    if (now !== last || now === 0) since = performance.now()
    last = now
    return performance.now() - since > 300
  }, 10_000)
}

/** What the server says when one of many channels of a connection has closed. */
async function exitCode(client: ssh2.Client, command: string): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  client.exec(command, (error, channel) => {
    if (error) return reject(error)
    let said: number | undefined
    channel.on('exit', (code: number) => (said = code)).on('close', () => resolve(said))
    channel.resume()
  })
  return promise
}
