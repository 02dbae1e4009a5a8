import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { exec, waitForEnd } from '../../core/exec.ts'
import { algorithms } from '../../receiver/algorithms.ts'
import { hostKeys } from '../../receiver/host-keys.ts'
import { parsePublicKey } from '../../receiver/keys.ts'
import type { Doors } from '../../receiver/session.ts'
import { readStrings, sshString } from '../../receiver/wire.ts'
import {
  makeKey,
  rawConnection,
  ssh,
  sshArgs,
  startClient,
  startServer,
  tempDir,
  until,
} from './fixture.ts'

const hello: Doors['command'] = async ({ identity, stdout }) => {
  stdout.write(`hello ${identity.name}\n`)
  return 0
}

describe('login', () => {
  let rsa: Awaited<ReturnType<typeof makeKey>> // takes a second to make
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'paas-login-'))
    rsa = await makeKey(dir, 'rsa', '-b', '2048')
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))

  test.each([
    ['ed25519', []],
    ['ecdsa', ['-b', '256']],
    ['ecdsa', ['-b', '384']],
    ['ecdsa', ['-b', '521']],
    ['rsa', ['-b', '4096']],
  ])('works with %s %j', async (type, more) => {
    const key = await makeKey(await tempDir(), type, ...more)
    const authorize: Doors['authorize'] = ({ blob }) => (blob === key.blob ? { name: 'ann' } : null)
    const server = await startServer({ command: hello, authorize })
    const answer = await ssh({ ...server, key: key.path }, ['x'])
    expect(answer).toEqual({ code: 0, stdout: 'hello ann\n', stderr: '' })
  })

  test.each(['rsa-sha2-256', 'rsa-sha2-512'])('works with RSA signing by %s', async (algorithm) => {
    const server = await startServer({ command: hello, authorize: () => ({ name: 'ann' }) })
    const sshOptions = [`PubkeyAcceptedAlgorithms=${algorithm}`]
    const { code } = await ssh({ ...server, key: rsa.path }, ['x'], { sshOptions })
    expect(code).toBe(0)
  })

  test('refuses RSA signing by SHA-1', async () => {
    const server = await startServer({ command: hello, authorize: () => ({ name: 'ann' }) })
    const sshOptions = ['PubkeyAcceptedAlgorithms=ssh-rsa']
    const { code, stdout } = await ssh({ ...server, key: rsa.path }, ['x'], { sshOptions })
    expect([code, stdout]).toEqual([255, ''])
  })

  test('works with a hardware key', async () => {
    const agent = await softwareToken()
    const authorize: Doors['authorize'] = (key) =>
      key.algorithm === 'sk-ssh-ed25519@openssh.com' && key.blob === agent.blob.toString('base64')
        ? { name: 'token' }
        : null
    const server = await startServer({ command: hello, authorize })
    const args = sshArgs(server).filter((arg) => !arg.startsWith('Identit') && arg !== server.key)
    const flags = withoutDangling(args)
    const { stdout } = await exec('ssh', [
      ...flags,
      ...['-o', `IdentityAgent=${agent.socket}`],
      ...['paas@127.0.0.1', 'x'],
    ])
    expect(stdout).toBe('hello token\n')
    agent.touched = false
    const refused = await exec(
      'ssh',
      [...flags, '-o', `IdentityAgent=${agent.socket}`, 'paas@127.0.0.1', 'x'],
      { accept: [255] },
    )
    expect(refused.stderr).toContain('Permission denied')
  })

  test('refuses a key that nobody added, and says which methods there are', async () => {
    const server = await startServer({ command: hello })
    const other = await makeKey(server.dir, 'ed25519')
    const { code, stderr } = await ssh({ ...server, key: other.path }, ['x'])
    expect([code, stderr]).toEqual([255, 'paas@127.0.0.1: Permission denied (publickey).\r\n'])
  })

  test.each(['root', 'git', 'PAAS', ''])('refuses the user %j with the right key', async (user) => {
    const server = await startServer({ command: hello })
    const { code, stdout } = await ssh(server, ['x'], { user })
    expect([code, stdout]).toEqual([255, ''])
  })

  test('refuses passwords and whatever else is no public key', async () => {
    const asked: string[] = []
    const server = await startServer({
      command: hello,
      authorize: ({ algorithm }) => {
        asked.push(algorithm)
        return null
      },
    })
    for (const handler of ['password', 'keyboard-interactive', 'none'] as const) {
      expect(await tryLogin(server.port, { password: 'paas', authHandler: [handler] })).toBe(
        'All configured authentication methods failed',
      )
    }
    expect(asked).toEqual([])
  })

  test('refuses a right key whose signature is wrong', async () => {
    const server = await startServer({ command: hello })
    const parsed = ssh2.utils.parseKey(await readFile(server.key))
    if (parsed instanceof Error) throw parsed
    const key: typeof parsed = Object.create(parsed, {
      sign: { value: (data: Buffer) => parsed.sign(Buffer.concat([data, Buffer.from('x')])) },
    })
    expect(
      await tryLogin(server.port, { authHandler: [{ type: 'publickey', username: 'paas', key }] }),
    ).toBe('All configured authentication methods failed')
  })

  test('hangs up after six failed tries', async () => {
    const server = await startServer({ command: hello })
    const keys = await Promise.all(Array.from({ length: 7 }, () => makeKey(server.dir, 'ed25519')))
    const identities = [...keys.map((key) => key.path), server.key]
    const args = sshArgs({ ...server, key: identities[0] ?? '' })
    const more = identities.slice(1).flatMap((path) => ['-i', path])
    const { stdout, stderr } = await exec('ssh', [...args, ...more, 'paas@127.0.0.1', 'x'], {
      accept: [255],
    })
    expect(stdout).toBe('')
    expect(stderr).toContain('disconnect')
  })

  test('takes the seventh key of eight when tries allow', async () => {
    const server = await startServer({ command: hello }, { loginTries: 20 })
    const keys = await Promise.all(Array.from({ length: 7 }, () => makeKey(server.dir, 'ed25519')))
    const more = [...keys.slice(1).map((key) => key.path), server.key].flatMap((path) => [
      '-i',
      path,
    ])
    const args = sshArgs({ ...server, key: keys[0]?.path ?? '' })
    const { stdout } = await exec('ssh', [...args, ...more, 'paas@127.0.0.1', 'x'])
    expect(stdout).toBe('hello tester\n')
  })

  test('holds for as long as the key does: then nothing is opened, and what is open ends', async () => {
    let known = true
    const ended = Promise.withResolvers<void>()
    const server = await startServer(
      {
        authorize: () => (known ? { name: 'ann' } : null),
        command: async (session) => {
          if (session.argv[0] !== 'stay') return hello(session)
          session.signal.addEventListener('abort', () => ended.resolve())
          session.stdout.write('here\n')
          await ended.promise
          return 0
        },
      },
      { keepAliveMs: 1000 },
    )
    const path = join(await tempDir(), 'control')
    const sshOptions = [`ControlPath=${path}`]
    const master = startClient('ssh', [
      ...sshArgs(server, 'ControlMaster=yes', ...sshOptions),
      ...['paas@127.0.0.1', 'stay'],
    ])
    const left = waitForEnd(master, { timeoutMs: 60_000 })
    await once(master.stdout ?? master, 'data')
    expect((await ssh(server, ['x'], { sshOptions })).stdout).toBe('hello ann\n')
    known = false
    await ended.promise
    expect(await left).toBe(255)

    known = true
    const next = startClient('ssh', [
      ...sshArgs(server, 'ControlMaster=yes', ...sshOptions),
      ...['-N', 'paas@127.0.0.1'],
    ])
    const cut = waitForEnd(next, { timeoutMs: 60_000 })
    await until(() => existsSync(path))
    known = false
    const refused = await ssh(server, ['x'], { sshOptions })
    expect([refused.code, refused.stdout]).toEqual([255, ''])
    expect(await cut).toBe(255)
  })

  test('survives an authorize that throws', async () => {
    const server = await startServer({
      authorize: () => {
        throw new Error('the store is gone')
      },
    })
    expect((await ssh(server, ['x'])).code).toBe(255)
    expect((await ssh(server, ['x'])).code).toBe(255)
  })
})

describe('the transport', () => {
  test('offers exactly these algorithms, none of them SHA-1, CBC, group exchange or zlib', async () => {
    const server = await startServer()
    const { closed } = rawConnection(server.port, Buffer.from('SSH-2.0-probe\r\n'))
    setTimeout(() => void server.close(), 200)
    expect(offers(await closed)).toEqual([
      'mlkem768x25519-sha256,curve25519-sha256@libssh.org,curve25519-sha256,ecdh-sha2-nistp256,' +
        'ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group14-sha256,' +
        'diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,kex-strict-s-v00@openssh.com',
      'ssh-ed25519,ecdsa-sha2-nistp256',
      ...twice(
        'aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,' +
          'aes128-ctr,aes192-ctr,aes256-ctr',
      ),
      ...twice(
        'hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512',
      ),
      ...twice('none'),
      ...twice(''),
    ])
  })

  test.each([
    'curve25519-sha256',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group14-sha256',
    'diffie-hellman-group16-sha512',
  ])('agrees on keys with OpenSSH by %s', async (algorithm) => {
    const server = await startServer({ command: hello })
    const { stdout } = await ssh(server, ['x'], { sshOptions: [`KexAlgorithms=${algorithm}`] })
    expect(stdout).toBe('hello tester\n')
  })

  test('agrees on keys by mlkem768x25519-sha256, rekeys included', async () => {
    const [hostKey = ''] = await hostKeys(await tempDir())
    const port = await rekeyingServer(hostKey)
    for (let round = 0; round < 8; round += 1) {
      const kex = await mlkemSession(port)
      expect(kex).toEqual(['mlkem768x25519-sha256', 'mlkem768x25519-sha256'])
    }
  })

  test('agrees on keys with OpenSSH by mlkem768x25519-sha256', async ({ skip }) => {
    const { stdout: known } = await exec('ssh', ['-Q', 'kex'])
    skip(!known.includes('mlkem768x25519-sha256'), 'the ssh on this machine is older than 9.9')
    const server = await startServer({ command: hello })
    const sshOptions = ['KexAlgorithms=mlkem768x25519-sha256', 'RekeyLimit=16K']
    for (let round = 0; round < 8; round += 1) {
      expect((await ssh(server, ['x'], { sshOptions })).stdout).toBe('hello tester\n')
    }
  })

  test.each([
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes256-ctr',
  ])('speaks %s with OpenSSH', async (cipher) => {
    const server = await startServer({ command: hello })
    expect((await ssh(server, ['x'], { sshOptions: [`Ciphers=${cipher}`] })).code).toBe(0)
  })

  test.each(['ssh-ed25519', 'ecdsa-sha2-nistp256'])('shows its %s host key', async (algorithm) => {
    const server = await startServer({ command: hello })
    const sshOptions = [`HostKeyAlgorithms=${algorithm}`]
    expect((await ssh(server, ['x'], { sshOptions })).code).toBe(0)
  })

  test('has the same host keys after a restart, readable by their owner only', async () => {
    const dir = join(await tempDir(), 'deep', 'host_keys')
    const first = await hostKeys(dir)
    expect(await hostKeys(dir)).toEqual(first)
    for (const type of ['ed25519', 'ecdsa']) {
      const path = join(dir, `ssh_host_${type}_key`)
      expect((await stat(path)).mode & 0o777).toBe(0o600)
      const { stdout } = await exec('ssh-keygen', ['-y', '-f', path])
      const kept = parsePublicKey(await readFile(`${path}.pub`, 'utf8'))
      expect(parsePublicKey(stdout).blob).toBe(kept.blob)
    }
  })
})

function tryLogin(port: number, config: object): Promise<string> {
  const client = new ssh2.Client()
  onTestFinished(() => void client.destroy())
  return new Promise((resolve) => {
    client.on('error', (error) => resolve(error.message))
    client.on('ready', () => resolve('ready'))
    client.on('close', () => resolve('closed'))
    client.connect({ host: '127.0.0.1', port, username: 'paas', ...config })
  })
}

/** A bare ssh2 server with our algorithms that changes keys before it answers. */
async function rekeyingServer(hostKey: string): Promise<number> {
  const server = new ssh2.Server({ hostKeys: [hostKey], algorithms }, (client) => {
    client.on('error', () => {})
    client.on('authentication', (context) => context.accept())
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec) => {
        const channel = acceptExec()
        client.rekey(() => channel.end('after the new keys'))
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const address = server.address()
  return address !== null && typeof address === 'object' ? address.port : 0
}

/** The key exchanges of one session, which ends once it has read what follows the second. */
async function mlkemSession(port: number): Promise<string[]> {
  const client = new ssh2.Client()
  const exchanges: string[] = []
  client.on('handshake', (negotiated) => exchanges.push(negotiated.kex))
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  client.on('error', reject)
  client.on('ready', () => {
    client.exec('x', (error, channel) => {
      if (error) return reject(error)
      channel.on('data', (chunk: Buffer) => {
        if (chunk.toString() === 'after the new keys') resolve()
      })
    })
  })
  client.connect({ host: '127.0.0.1', port, username: 'paas', password: 'x' })
  await promise
  client.destroy()
  return exchanges
}

/** The name-lists of the server's KEXINIT, which follows its identification line. */
function offers(bytes: string): string[] {
  const packet = Buffer.from(bytes, 'latin1').subarray(bytes.indexOf('\r\n') + 2)
  const lists: string[] = []
  let at = 4 + 1 + 1 + 16
  while (lists.length < 10) {
    const end = at + 4 + packet.readUInt32BE(at)
    lists.push(packet.toString('latin1', at + 4, end))
    at = end
  }
  return lists
}

function twice(text: string): string[] {
  return [text, text]
}

/** Drops every `-o` or `-i` whose value was filtered away. */
function withoutDangling(args: string[]): string[] {
  return args.filter((arg, index) => {
    const value = args[index + 1] ?? '-'
    return !((arg === '-o' || arg === '-i') && value.startsWith('-'))
  })
}

/** An ssh-agent with one FIDO key whose token is software: signs as PROTOCOL.u2f says. */
async function softwareToken() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
  const name = 'sk-ssh-ed25519@openssh.com'
  const blob = Buffer.concat([sshString(name), sshString(raw), sshString('ssh:')])
  const token = { blob, socket: join(await tempDir(), 'agent'), touched: true }
  const answer = (request: Buffer): Buffer => {
    const one = Buffer.from([0, 0, 0, 1])
    if (request[0] === 11) {
      return Buffer.concat([Buffer.from([12]), one, sshString(blob), sshString('token')])
    }
    const data = readStrings(request.subarray(1, -4))?.[1] ?? Buffer.alloc(0)
    const tail = Buffer.from([token.touched ? 1 : 0, 0, 0, 0, 7])
    const signature = sign(null, Buffer.concat([sha256('ssh:'), tail, sha256(data)]), privateKey)
    const whole = Buffer.concat([sshString(name), sshString(signature), tail])
    return Buffer.concat([Buffer.from([14]), sshString(whole)])
  }
  const agent = createServer((socket) => {
    let pending = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, Buffer.from(chunk)])
      while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
        const end = 4 + pending.readUInt32BE(0)
        const known = pending[4] === 11 || pending[4] === 13
        socket.write(sshString(known ? answer(pending.subarray(4, end)) : Buffer.from([5])))
        pending = pending.subarray(end)
      }
    })
  })
  await new Promise<void>((resolve) => agent.listen(token.socket, resolve))
  onTestFinished(() => void agent.close())
  return token
}

function sha256(part: Buffer | string): Buffer {
  return createHash('sha256').update(part).digest()
}
