import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { freePort } from '../ports.ts'
import { sshWith } from '../system/instance.ts'

/** The raw parts that paas is made of, without paas: what its own figures are divided by. */

export type OpenSsh = Awaited<ReturnType<typeof startOpenSsh>>

/** Stock OpenSSH on a port of its own, with an empty repository behind an empty hook. */
export async function startOpenSsh() {
  const base = await mkdtemp(join(tmpdir(), 'paas-raw-'))
  const port = await freePort()
  const [hostKey, key] = [join(base, 'host'), join(base, 'key')]
  for (const path of [hostKey, key]) {
    await exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path])
  }
  await writeFile(join(base, 'authorized_keys'), await readFile(`${key}.pub`), { mode: 0o600 })
  const settings = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${join(base, 'authorized_keys')}`,
    `PidFile ${join(base, 'pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
  ]
  await writeFile(join(base, 'config'), `${settings.join('\n')}\n`)
  await mkdir('/run/sshd', { recursive: true }) // sshd refuses to start without it
  const repo = join(base, 'repo.git')
  await exec('git', ['init', '-q', '--bare', repo])
  await writeFile(join(repo, 'hooks', 'pre-receive'), '#!/bin/sh\nexit 0\n', { mode: 0o755 })
  const server = spawnGroup('/usr/sbin/sshd', ['-D', '-f', join(base, 'config')], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  await waitForPort(port)
  const ssh = sshWith(key, port)
  const user = userInfo().username
  return {
    repo,
    user,
    ssh,
    /** The least that any command over SSH costs there. */
    async sshTrue(): Promise<void> {
      const [file = 'ssh', ...args] = ssh
      await exec(file, [...args, `${user}@127.0.0.1`, 'true'])
    },
    async [Symbol.asyncDispose]() {
      await killGroup(server, 1000)
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** Milliseconds from a bare `runc run` of `argv` on `rootfs` until its port answers. */
export async function bareRunc(rootfs: string, argv: string[], cwd: string): Promise<number> {
  const bundle = await mkdtemp(join(tmpdir(), 'paas-runc-'))
  const port = await freePort()
  await exec('runc', ['spec', '--bundle', bundle])
  const spec = JSON.parse(await readFile(join(bundle, 'config.json'), 'utf8'))
  spec.root = { path: rootfs, readonly: false }
  spec.process.terminal = false
  spec.process.args = argv
  spec.process.cwd = cwd
  spec.process.env = ['PATH=/usr/local/bin:/usr/bin:/bin', `PORT=${port}`]
  spec.linux.namespaces = spec.linux.namespaces.filter(
    (one: { type: string }) => one.type !== 'network',
  )
  spec.mounts = spec.mounts.filter((one: { type: string }) => one.type !== 'sysfs')
  await writeFile(join(bundle, 'config.json'), JSON.stringify(spec))
  const id = `raw-${port}`
  const began = performance.now()
  const child = spawnGroup('runc', ['run', '--bundle', bundle, id], { stdio: 'ignore' })
  try {
    await waitForPort(port)
    return performance.now() - began
  } finally {
    await exec('runc', ['delete', '--force', id], { accept: [0, 1] })
    await killGroup(child, 1000)
    await rm(bundle, { recursive: true, force: true })
  }
}

async function waitForPort(port: number): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await accepts(port))) {
    if (Date.now() > deadline) throw new Error(`nothing answered on port ${port}`)
    await pause(2)
  }
}

function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host: '127.0.0.1', port })
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  return promise.finally(() => socket.destroy())
}
