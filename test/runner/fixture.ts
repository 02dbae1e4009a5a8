import { readdirSync, readFileSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { appPort, defaultLimits, type PaasConfig, readConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { newId, paths } from '../../core/names.ts'
import type { Exit, InstanceSpec, Layer } from '../../core/types.ts'
import { nextAddress } from '../../runner/address.ts'
import { closeHost, openHost } from '../../runner/host.ts'
import { sweepOrphans } from '../../runner/observe.ts'
import { runAttached } from '../../runner/run.ts'
import { startInstance } from '../../runner/start.ts'
import { freeSubnet } from '../subnet.ts'
import { workerShare } from '../worker-share.ts'

/** An instance of paas's runner of its own, with a root file system of this machine's programs. */

export const never = new AbortController().signal

const layer: Layer = { kind: 'stack', key: 'test-stack', label: 'test stack' }
const programs = [
  process.execPath,
  ...['sh', 'cat', 'sleep', 'unshare', 'true'].map((name) => `/usr/bin/${name}`),
]

export type TestHost = Awaited<ReturnType<typeof openTestHost>>

/** Not in /tmp unless asked for: it may be a tmpfs, which older kernels cannot map. */
export async function openTestHost(parent = '/var/tmp') {
  const root = await mkdtemp(join(parent, 'paas-runner-'))
  await chmod(root, 0o711)
  const config = testConfig(root)
  await makeStack(paths(config).layer(layer))
  const host = await openHost(config)
  let last: string | undefined
  const spec = (argv: string[], changes: Partial<InstanceSpec> = {}): InstanceSpec => {
    last = nextAddress(config.subnet, new Set(), last)
    const place = { id: newId(), address: last, process: 'web.1', release: 1, app: 'shop' }
    return { ...place, layers: [layer], argv, env: {}, limits: defaultLimits, ...changes }
  }
  return {
    host,
    config,
    spec,
    start: (argv: string[], changes?: Partial<InstanceSpec>) => {
      return startInstance(host, spec(argv, changes), never)
    },
    /** Runs to the end; returns what it printed too. */
    run: async (argv: string[], changes?: Partial<InstanceSpec>) => {
      const lines: string[] = []
      const io = {
        onLine: (line: string) => void lines.push(line),
        signal: never,
        timeoutMs: 60_000,
      }
      const exit: Exit = await runAttached(host, spec(argv, changes), io)
      return { ...exit, lines }
    },
    async [Symbol.asyncDispose]() {
      await sweepOrphans(host, new Set())
      await closeHost(host)
      await rm(root, { recursive: true, force: true })
    },
  }
}

/** Each test file at work has a subnet and ports of its own. */
export function testConfig(root: string, subnet = freeSubnet()): PaasConfig {
  const [port] = workerShare(19_000, 20_000)
  return readConfig({
    PAAS_HOME: join(root, 'home'),
    PAAS_RUN: join(root, 'run'),
    PAAS_CACHE: join(root, 'cache'),
    PAAS_SUBNET: subnet,
    PAAS_HTTP_PORT: String(port),
    PAAS_HTTPS_PORT: String(port + 1),
  })
}

export function node(script: string): string[] {
  return [process.execPath, '--eval', script]
}

export function server(options: { port?: number; host?: string; rest?: string } = {}): string[] {
  const { port = appPort, host = '0.0.0.0', rest = '' } = options
  return node(`
    require('node:http').createServer((_, answer) => answer.end('ok')).listen(${port}, '${host}')
    process.on('SIGTERM', () => { console.log('leaving'); process.exit(0) })
    ${rest}
  `)
}

/** Everything of an instance that the kernel or the disk could still hold, for leak checks. */
export function traces(config: PaasConfig): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  const groups = [
    '/sys/fs/cgroup',
    ...list('/sys/fs/cgroup').map((name) => `/sys/fs/cgroup/${name}`),
  ]
  return [
    ...mounts.filter((line) => line.includes(config.run)),
    ...list(paths(config).bundles),
    ...list(paths(config).runcRoot),
    ...list(paths(config).exits),
    ...list(dirname(paths(config).scratch('x'))),
    ...groups
      .flatMap((group) => list(join(group, config.tag)))
      .filter((name) => /^[0-9a-f]{12}$/.test(name)),
    ...list(`/sys/class/net/${config.tag}/brif`),
    ...processes().filter((line) => line.includes(config.run)),
  ]
}

/** A stream that keeps what is written to it. */
export function collector() {
  const chunks: Buffer[] = []
  const stream = new PassThrough()
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  return {
    stream,
    bytes: () => Buffer.concat(chunks),
    text: () => Buffer.concat(chunks).toString(),
  }
}

export async function until(what: string, test: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  for (let waitMs = 10; !(await test()); waitMs = Math.min(waitMs * 1.2, 200)) {
    if (performance.now() > deadline) throw new Error(`Waited 30 s in vain until ${what}`)
    await pause(waitMs)
  }
}

function processes(): string[] {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

async function makeStack(root: string): Promise<void> {
  for (const name of ['app', 'dev', 'etc/ssl/certs', 'proc', 'sys', 'tmp', 'usr/bin']) {
    await mkdir(join(root, name), { recursive: true })
  }
  await chmod(join(root, 'tmp'), 0o1777)
  for (const program of programs) {
    await copyInto(root, program)
    await copyFile(program, join(root, 'usr/bin', basename(program)))
    const { stdout } = await exec('ldd', [program])
    const libraries = stdout.match(/\/\S+\.so\S*/g) ?? []
    for (const library of libraries) await copyInto(root, library)
  }
}

async function copyInto(root: string, file: string): Promise<void> {
  await mkdir(dirname(join(root, file)), { recursive: true })
  await copyFile(file, join(root, file))
}
