import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { onTestFinished } from 'vitest'
import { exec, killGroup, spawnGroup, waitForEnd } from '../../core/exec.ts'
import { hostKeys } from '../../receiver/host-keys.ts'
import { parsePublicKey } from '../../receiver/keys.ts'
import { listenSsh, type SshOptions, type SshServer } from '../../receiver/server.ts'
import type { Doors } from '../../receiver/session.ts'

/** A directory that goes with the test. */
export async function tempDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'receiver-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  return dir
}

export type TestServer = SshServer & { dir: string; key: string; blob: string }

/** A server that knows one Ed25519 key, under the name `tester`. Doors not given refuse. */
export async function startServer(
  doors: Partial<Doors> = {},
  options: Partial<SshOptions> = {},
): Promise<TestServer> {
  const dir = await tempDir()
  const key = await makeKey(dir, 'ed25519')
  const server = await listenSsh(
    { port: 0, host: '127.0.0.1', hostKeys: await hostKeys(join(dir, 'host_keys')), ...options },
    {
      authorize: ({ blob }) => (blob === key.blob ? { name: 'tester' } : null),
      command: async () => 1,
      receivePack: async () => 1,
      ...doors,
    },
  )
  onTestFinished(() => server.close())
  return { ...server, dir, key: key.path, blob: key.blob }
}

export async function makeKey(
  dir: string,
  type: string,
  ...more: string[]
): Promise<{ path: string; blob: string }> {
  const path = join(dir, `id_${type}_${Math.random().toString(36).slice(2)}`)
  await exec('ssh-keygen', ['-q', '-t', type, ...more, '-N', '', '-f', path])
  return { path, blob: parsePublicKey(await readFile(`${path}.pub`, 'utf8')).blob }
}

/** Arguments of ssh that leave the tester's own configuration out. */
export function sshArgs(server: { port: number; key: string }, ...options: string[]): string[] {
  const fixed = [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'LogLevel=ERROR',
    'BatchMode=yes',
    'ConnectTimeout=10',
    ...options,
  ]
  const flags = fixed.flatMap((option) => ['-o', option])
  return ['-F', '/dev/null', ...flags, '-i', server.key, '-p', String(server.port)]
}

/** Runs the stock client to its end; any exit code is an answer. */
export async function ssh(
  server: { port: number; key: string },
  command: string[],
  options: { input?: string | Uint8Array; sshOptions?: string[]; user?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const args = sshArgs(server, ...(options.sshOptions ?? []))
  return exec('ssh', [...args, `${options.user ?? 'paas'}@127.0.0.1`, ...command], {
    accept: Array.from({ length: 256 }, (_, code) => code),
    ...(options.input === undefined ? {} : { input: options.input }),
  })
}

/** A client of this process, logged in: it opens many channels on one connection. */
export async function connectClient(server: { port: number; key: string }): Promise<ssh2.Client> {
  const client = new ssh2.Client()
  onTestFinished(() => void client.destroy())
  const privateKey = await readFile(server.key)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  client.on('ready', resolve)
  client.on('error', reject)
  client.connect({ host: '127.0.0.1', port: server.port, username: 'paas', privateKey })
  await promise
  return client
}

export function openChannel(client: ssh2.Client): Promise<ssh2.ClientChannel> {
  return new Promise((resolve, reject) => {
    client.exec('x', (error, channel) => {
      if (error) return reject(error)
      channel.resume()
      resolve(channel)
    })
  })
}

/** Starts a client that the test talks to or kills. */
export function startClient(file: string, args: string[], env?: Record<string, string>) {
  const child = spawnGroup(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(env ? { env: { PATH: process.env['PATH'] ?? '', ...env } } : {}),
  })
  child.stdin?.on('error', () => {})
  onTestFinished(() => killGroup(child, 500))
  return child
}

/** Counts the bytes of a client's stdout and waits for its exit. */
export async function countOutput(child: ChildProcess, timeoutMs = 60_000) {
  let bytes = 0
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  const closed = once(child, 'close')
  const code = await waitForEnd(child, { timeoutMs })
  await closed
  return { bytes, code }
}

/** A raw TCP connection, and what became of it. */
export function rawConnection(port: number, send?: Uint8Array) {
  const socket = createConnection({ host: '127.0.0.1', port })
  const chunks: Buffer[] = []
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (send) socket.write(send)
  onTestFinished(() => void socket.destroy())
  const closed = new Promise<string>((resolve) =>
    socket.once('close', () => resolve(Buffer.concat(chunks).toString('latin1'))),
  )
  return { socket, closed }
}

/** Polls until `check` gives something, every 10 ms. */
export async function until<T>(check: () => T | Promise<T>, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await check()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`Still false after ${timeoutMs} ms: ${check}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A git environment that reaches the test server with the stock ssh. */
export function gitOverSsh(server: { port: number; key: string }): Record<string, string> {
  const args = sshArgs(server).map((arg) => `'${arg}'`)
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Tester',
    GIT_AUTHOR_EMAIL: 'tester@example.com',
    GIT_COMMITTER_NAME: 'Tester',
    GIT_COMMITTER_EMAIL: 'tester@example.com',
    GIT_SSH_COMMAND: `ssh ${args.join(' ')}`,
    GIT_TERMINAL_PROMPT: '0',
    // To pack random megabytes well is not what is tested.
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'core.compression',
    GIT_CONFIG_VALUE_0: '0',
  }
}

/** A working copy with one commit on main. */
export async function workingCopy(env: Record<string, string>): Promise<string> {
  const dir = await tempDir()
  await exec('git', ['init', '-q', '-b', 'main', dir], { env })
  await commit(dir, env, 'hello.txt', 'hello\n')
  return dir
}

export async function commit(
  dir: string,
  env: Record<string, string>,
  file: string,
  content: string | Uint8Array,
): Promise<string> {
  await writeFile(join(dir, file), content)
  await exec('git', ['-C', dir, 'add', '--', file], { env })
  await exec('git', ['-C', dir, 'commit', '-q', '-m', `Change ${file}`], { env })
  const { stdout } = await exec('git', ['-C', dir, 'rev-parse', 'HEAD'], { env })
  return stdout.trim()
}
