import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { mkdirSync, openSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { newId } from '../../core/names.ts'
import { until } from './instance.ts'

/**
 * A real Docker engine in a network and mount namespace of its own: the host's stay as they are.
 */

const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
const has = (name: string) => folders.some((folder) => existsSync(join(folder, name)))
export const canRunDocker = ['dockerd', 'containerd', 'docker'].every(has)

export async function startDocker(dir: string) {
  mkdirSync(dir, { recursive: true })
  const [socket, group] = [`unix://${join(dir, 'sock')}`, `paas-docker-${newId()}`]
  const flags = {
    'data-root': join(dir, 'data'),
    'exec-root': join(dir, 'exec'),
    pidfile: join(dir, 'pid'),
    host: socket,
    iptables: 'false',
    'ip-masq': 'false',
    bridge: 'none',
    'storage-driver': 'vfs',
    'cgroup-parent': `/${group}`,
  }
  const out = openSync(join(dir, 'log'), 'a')
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  const script = 'ip link set lo up; exec dockerd "$@"'
  const engine = ['unshare', '--mount', '--net', '--', 'sh', '-c', script, 'sh', ...args]
  const child = spawnGroup(engine[0] ?? '', engine.slice(1), { stdio: ['ignore', out, out] })
  const docker = async (...words: string[]) =>
    (await exec('docker', ['--host', socket, ...words], { timeoutMs: 120_000 })).stdout.trim()
  await until(
    'the Docker engine',
    async () => await docker('version').then(Boolean, () => false),
    60_000,
  )
  return {
    docker,
    /** One request to a port of the engine's own network. */
    async get(port: number): Promise<string> {
      const inside = ['-t', readFileSync(join(dir, 'pid'), 'utf8').trim(), '-n', '--']
      const ask = ['curl', '-s', '--noproxy', '*', `http://127.0.0.1:${port}/`]
      return (await exec('nsenter', [...inside, ...ask], { accept: [0, 7, 52, 56] })).stdout
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await killGroup(child, 20_000)
      for (const hierarchy of ['', ...readdirSync('/sys/fs/cgroup')]) {
        const path = join('/sys/fs/cgroup', hierarchy, group)
        if (existsSync(path)) rmdirSync(path)
      }
    },
  }
}
