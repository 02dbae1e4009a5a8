import { chownSync, existsSync, mkdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { appUser, defaultLimits } from '../../core/config.ts'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { kernelNames, newId, paths } from '../../core/names.ts'
import { parseSubnet } from '../../runner/address.ts'
import { hostFacts } from '../../runner/facts.ts'
import { closeHost, openHost } from '../../runner/host.ts'
import { mapped, openIdmap } from '../../runner/idmap.ts'
import { mountOverlay } from '../../runner/kernel.ts'
import { sweepOrphans } from '../../runner/observe.ts'
import { runAttached } from '../../runner/run.ts'
import { stopInstance } from '../../runner/stop.ts'
import { never, node, openTestHost, server, type TestHost, traces, until } from './fixture.ts'

let t: TestHost

beforeAll(async () => void (t = await openTestHost()))
afterAll(() => t[Symbol.asyncDispose]())

test('an rm -r of the run directory takes nothing of the store or of the shared layers', async ({
  skip,
}) => {
  skip(t.host.noUserNamespace !== undefined, 'this machine has no user namespaces')
  const { config } = t
  const storage = paths(config).storage('uploads')
  mkdirSync(storage)
  mkdirSync(paths(config).storage('empty'))
  chownSync(storage, appUser, appUser)
  const mounts = [{ source: storage, target: '/app/uploads', readOnly: false }]
  const write = node(`require('node:fs').writeFileSync('/app/uploads/file', 'kept')`)
  expect((await t.run(write, { mounts })).code).toBe(0)
  const trees = ['layers', 'storage', 'trash'].map((name) => join(paths(config).store, name))
  const listed = async () => (await exec('find', [paths(config).sharedLayers, ...trees])).stdout
  const before = await listed()
  const shared = join(paths(config).idmaps, 'shop', 'shared')
  await exec('mount', ['-o', 'remount,bind,rw', shared]) // as an earlier paas had it
  await openHost(config)
  const removal = exec('rm', ['-rf', '--', join(paths(config).idmaps, 'shop')])
  await expect(removal).rejects.toThrow(/cannot remove \S+storage/)
  expect(await listed()).toBe(before)
  expect(readFileSync(join(storage, 'file'), 'utf8')).toBe('kept')
})

describe('a container', () => {
  test('is nobody on the host, without capabilities, under a seccomp filter', async () => {
    const instance = await t.start(['sleep', '1000'])
    const child = () => childOf(instance.pid)
    await until('its program runs', () => child() !== undefined)
    const status = readFileSync(`/proc/${child()}/status`, 'utf8')
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]
    const uid = Number(field('Uid')?.split('\t')[0])
    expect(uid % 65_536).toBe(32_767)
    if (t.host.noUserNamespace === undefined) expect(uid).toBeGreaterThan(65_536 * 16)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(field(set)).toBe('0000000000000000')
    }
    expect(field('NoNewPrivs')).toBe('1')
    expect(field('Seccomp')).toBe('2')
    for (const kind of ['mnt', 'uts', 'ipc', 'pid', 'net', 'cgroup']) {
      const own = readlinkSync(`/proc/${instance.pid}/ns/${kind}`)
      expect(own).not.toBe(readlinkSync(`/proc/self/ns/${kind}`))
    }
    await stopInstance(t.host, instance.id, { graceMs: 1000 })
  })

  test('sees its own user, name, address and processes only', async () => {
    const script = `
      const fs = require('node:fs'), os = require('node:os')
      const pids = fs.readdirSync('/proc').filter((name) => Number(name))
      console.log(JSON.stringify({
        user: process.getuid(), name: os.hostname(), directory: process.cwd(),
        home: process.env.HOME,
        networks: Object.keys(os.networkInterfaces()), pids: pids.length,
      }))`
    const { lines } = await t.run(node(script))
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      user: 32_767,
      name: 'shop',
      directory: '/app',
      home: '/app',
      networks: ['lo', 'eth0'],
      pids: 2,
    })
  })

  test('can make no namespace, see no kernel memory and write no kernel setting', async () => {
    for (const flag of ['--user', '--mount', '--net', '--pid', '--uts', '--ipc', '--cgroup']) {
      const result = await t.run(['unshare', flag, 'true'], { user: 'root' })
      expect(result.lines.join()).toContain('Operation not permitted')
    }
    const script = `
      const fs = require('node:fs')
      const attempt = (act) => { try { return act() } catch (error) { return error.code } }
      console.log(JSON.stringify([
        attempt(() => fs.readFileSync('/proc/keys', 'utf8')),
        attempt(() => fs.writeFileSync('/proc/sys/kernel/hostname', 'x')),
        attempt(() => fs.writeFileSync('/sys/fs/cgroup/memory/cgroup.procs', '1')),
        attempt(() => fs.chownSync('/tmp', 1, 1)),
        attempt(() => fs.writeFileSync('/proc/sysrq-trigger', 'b')),
      ]))`
    const { lines } = await t.run(node(script), { user: 'root' })
    const [keys, setting, group, owner, trigger] = JSON.parse(lines[0] ?? '')
    expect(keys).toBe('')
    expect(setting).toBe('EROFS')
    expect(['EROFS', 'ENOENT']).toContain(group)
    expect(owner).toBe('EPERM')
    expect(['EROFS', 'ENOENT']).toContain(trigger) // absent from some kernels
  })

  test('has the limits it was given, and cannot have more processes', async () => {
    const limits = { memoryBytes: 96 * 1024 * 1024, cpus: 0.5, pids: 20 }
    const script = `
      const fs = require('node:fs'), { spawn } = require('node:child_process')
      let failed = 0
      for (let i = 0; i < 40; i++) spawn('sleep', ['1']).on('error', () => failed++)
      setTimeout(() => { console.log(failed, process.constrainedMemory()); process.exit(0) }, 300)`
    const { lines } = await t.run(node(script), { limits })
    const [failed, memory] = (lines[0] ?? '').split(' ').map(Number)
    expect(failed).toBeGreaterThan(19)
    expect(memory).toBe(limits.memoryBytes)
    const instance = await t.start(server(), { limits }) // which reads them back and compares
    await stopInstance(t.host, instance.id, { graceMs: 1000 })
    expect(defaultLimits.pids).toBe(512)
  })

  test('works, less well guarded, where there can be no user namespace', async () => {
    const host = { ...t.host, noUserNamespace: 'so this test wants it' }
    const lines: string[] = []
    const io = { onLine: (line: string) => void lines.push(line), signal: never, timeoutMs: 60_000 }
    const script = `console.log(process.getuid(), require('node:fs').readFileSync('/proc/self/uid_map', 'utf8').trim().split(/ +/).join())`
    const exit = await runAttached(host, t.spec(node(script)), io)
    expect(exit.code).toBe(0)
    expect(lines).toEqual(['32767 0,0,4294967295'])
  })

  test('keeps secrets of its configuration for root alone', async () => {
    const instance = await t.start(['sleep', '1000'], { env: { SECRET: 'x' } })
    const bundle = paths(t.config).bundle(instance.id)
    expect(statSync(`${bundle}/config.json`).mode & 0o077).toBe(0)
    expect(statSync(paths(t.config).store).mode & 0o077).toBe(0)
    await stopInstance(t.host, instance.id, { graceMs: 1000 })
  })
})

describe('the network', () => {
  test('lets no app reach another, nor the host, save the router', async () => {
    const { gateway } = parseSubnet(t.config.subnet)
    await using listening = new AsyncDisposableStack()
    const admin = listening.adopt(await listen(0), close)
    const router = listening.adopt(await listen(t.config.httpPort), close)
    const other = await t.start(server())
    listening.defer(() => stopInstance(t.host, other.id, { graceMs: 1000 }))
    await until('the other app answers', () => canConnect(other.address, 5000))
    const targets = [
      [other.address, 5000],
      [gateway, portOf(admin)],
      [gateway, 22],
      [gateway, portOf(router)],
    ]
    const script = `
      const net = require('node:net')
      const dial = ([host, port]) => new Promise((resolve) => {
        const socket = net.connect({ host, port, timeout: 700 })
        socket.on('connect', () => resolve('open')).on('error', () => resolve('closed'))
        socket.on('timeout', () => resolve('closed'))
      })
      Promise.all(${JSON.stringify(targets)}.map(dial)).then((all) => { console.log(all.join()); process.exit(0) })`
    const { lines } = await t.run(node(script), { app: 'other' })
    expect(lines).toEqual(['closed,closed,closed,open'])
  })

  test('lets apps reach the world under the address of the host', async () => {
    await using outside = await openOutside()
    const script = `
      const socket = require('node:net').connect({ host: '${outside.address}', port: 7000 })
      socket.on('data', (text) => { console.log(String(text)); process.exit(0) })`
    const { lines } = await t.run(node(script))
    expect(lines).toEqual([outside.host])
  })
})

test('opening the host twice changes nothing, closing it leaves nothing', async () => {
  const instance = await t.start(server())
  const again = await openHost(t.config)
  await until('it still answers', () => canConnect(instance.address, 5000))
  await sweepOrphans(again, new Set())
  await closeHost(again)
  const { bridge, nftTable, cgroupParent } = kernelNames(t.config)
  expect(traces(t.config)).toEqual([])
  expect(existsSync(`/sys/class/net/${bridge}`)).toBe(false)
  expect((await exec('nft', ['list', 'tables'])).stdout).not.toContain(nftTable)
  for (const root of ['', '/memory', '/pids']) {
    expect(existsSync(`/sys/fs/cgroup${root}${cgroupParent}`)).toBe(false)
  }
  t.host.idmaps.clear()
  await openHost(t.config)
})

test('a probe that was cut off is no hindrance to the next, nor to the end', async () => {
  if (t.host.noUserNamespace !== undefined) return
  const app = 'probe.0123456789ab'
  const [scratch, target] = [join(paths(t.config).store, app), join(t.config.run, app)]
  for (const name of ['lower', 'upper', 'work']) mkdirSync(join(scratch, name), { recursive: true })
  mkdirSync(target)
  const idmap = await openIdmap(t.config, app)
  const [lower = '', upper = '', work = ''] = ['lower', 'upper', 'work'].map((name) =>
    mapped(t.config, idmap, join(scratch, name)),
  )
  mountOverlay({ lower: [lower, idmap.shared], upper, work, target })
  await openHost(t.config)
  for (const path of [scratch, target, join(paths(t.config).idmaps, app)])
    expect(existsSync(path), path).toBe(false)
  expect(traces(t.config).filter((line) => line.includes('probe.'))).toEqual([])
})

test('the facts name each part, and what is weaker', async () => {
  const facts = await hostFacts(t.config)
  const names = facts.map(({ name }) => name)
  for (const name of [
    'runc',
    'conmon',
    'tini-static',
    'nft',
    'ip',
    'git',
    'caddy',
    'mmdebstrap',
    'cgroups',
    'disk quotas',
    'AppArmor',
    'user namespaces',
  ]) {
    expect(names).toContain(name)
  }
  for (const { ok, hint, name } of facts) if (!ok) expect(hint, name).toBeTruthy()
})

/** A network beyond the host, with a server at port 7000 that tells who called. */
async function openOutside() {
  const name = `pt${newId()}`
  const [host, address] = ['198.51.100.1', '198.51.100.2']
  await using undo = new AsyncDisposableStack()
  await exec('ip', ['netns', 'add', name])
  undo.defer(async () => void (await exec('ip', ['netns', 'delete', name])))
  const lines = [
    `link add ${name} type veth peer name eth0 netns ${name}`,
    `address add ${host}/30 dev ${name}`,
    `link set ${name} up`,
  ]
  await exec('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` })
  const inside = [`address add ${address}/30 dev eth0`, 'link set eth0 up', 'link set lo up']
  await exec('ip', ['-netns', name, '-batch', '-'], { input: `${inside.join('\n')}\n` })
  const script = `require('node:net').createServer((socket) => socket.end(socket.remoteAddress))
    .listen(7000, '${address}', () => console.log('listening'))`
  const args = ['netns', 'exec', name, ...node(script)]
  const tell = spawnGroup('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  undo.defer(() => killGroup(tell, 1000))
  await new Promise((resolve) => tell.stdout?.once('data', resolve))
  const stack = undo.move()
  return { host, address, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

function childOf(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim() || undefined
}

async function listen(port: number): Promise<Server> {
  const listener = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => listener.listen(port, '0.0.0.0', () => resolve()))
  return listener
}

function close(listener: Server): Promise<void> {
  return new Promise((resolve) => listener.close(() => resolve()))
}

function portOf(listener: Server): number {
  const address = listener.address()
  if (typeof address !== 'object' || address === null) throw new Error('It listens on a port')
  return address.port
}

async function canConnect(host: string, port: number): Promise<boolean> {
  const { connect } = await import('node:net')
  const socket = connect({ host, port })
  try {
    return await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
  } finally {
    socket.destroy()
  }
}
