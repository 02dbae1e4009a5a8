import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { closeRouter, isRunning, openRouter, type Router } from '../../router/caddy.ts'
import { publish, setHosts } from '../../router/switch.ts'
import { freePort } from '../ports.ts'
import { ask, freshInstance, listening, namedApp, secure } from './fixture.ts'

/** Caddy's life: it outlives whoever opens it, and comes back with its routes. */

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

test('a second open adopts the running Caddy and does not reload it', async () => {
  const { config, router } = await opened()
  const before = pidOf(router)
  const again = await openRouter(config)
  expect(pidOf(again)).toBe(before)
  expect(isRunning(again)).toBe(true)
  expect(await again.api.currentConfig()).toEqual(await router.api.currentConfig())
})

test('a configuration of another version of ours is replaced while it serves', async () => {
  const { config, router } = await opened()
  const app = await served(router)
  const before = pidOf(router)
  const current = await router.api.currentConfig()
  const foreign = JSON.parse(JSON.stringify(current))
  foreign.apps.http.grace_period = '3s'
  await router.api.load(foreign)
  const again = await openRouter(config)
  expect(pidOf(again)).toBe(before)
  expect(await again.api.currentConfig()).toEqual(current)
  expect((await ask(config, 'shop.apps.test')).body).toBe(app)
})

test('a killed Caddy is started again and serves the same routes', async () => {
  const { config, router } = await opened()
  const app = await served(router)
  const before = pidOf(router)
  await kill(router)
  expect(isRunning(router)).toBe(false)
  const again = await openRouter(config)
  expect(pidOf(again)).not.toBe(before)
  expect((await ask(config, 'shop.apps.test')).body).toBe(app)
  expect(again.appOf.get('shop.apps.test')).toBe('shop')
})

const site = 'certificates/local/apps.test/apps.test'
const authority = 'pki/authorities/local'
const recursive = { recursive: true }
test.each([
  { kept: 'root', file: `${site}.json`, how: 'empty', bytes: 0 },
  { kept: 'root', file: `${site}.key`, how: 'cut off', bytes: 100 },
  { kept: 'root', file: `${site}.crt`, how: 'cut off within its chain', bytes: 900 },
  { kept: 'root', file: `${authority}/intermediate.key`, how: 'empty', bytes: 0 },
  { kept: 'root', file: `${authority}/intermediate.crt`, how: 'that of another key', bytes: -1 },
  { kept: 'nothing', file: `${authority}/root.key`, how: 'empty', bytes: 0 },
])('killed while it wrote, so that $file is $how, it starts again', async (damage) => {
  const { config, router } = await opened()
  await vi.waitFor(async () => expect(await secure(config, 'apps.test')).toBe(404), 30_000)
  await closeRouter(config)
  const root = readFileSync(router.at.rootCertificate, 'utf8')
  const file = join(router.at.state, damage.file)
  if (damage.bytes < 0) copyFileSync(router.at.rootCertificate, file)
  else truncateSync(file, damage.bytes)
  // So that the authority must sign again.
  if (damage.file.startsWith(authority)) rmSync(join(router.at.state, 'certificates'), recursive)
  await openRouter(config)
  await vi.waitFor(async () => expect(await secure(config, 'apps.test')).toBe(404), 30_000)
  expect(readFileSync(router.at.rootCertificate, 'utf8') === root).toBe(damage.kept === 'root')
})

test('a Caddy whose pid file was lost is replaced, not doubled', async () => {
  const { config, router } = await opened()
  const before = pidOf(router)
  rmSync(router.at.pid)
  const again = await openRouter(config)
  expect(pidOf(again)).not.toBe(before)
  expect(() => process.kill(before, 0)).toThrow('ESRCH')
})

test('a Caddy whose whole run directory was removed is found and replaced', async () => {
  const { config, router } = await opened()
  const before = pidOf(router)
  rmSync(config.run, { recursive: true })
  const again = await openRouter(config)
  expect(pidOf(again)).not.toBe(before)
  expect(() => process.kill(before, 0)).toThrow('ESRCH')
})

test('is closed without its run directory as well', async () => {
  const { config, router } = await opened()
  const before = pidOf(router)
  rmSync(config.run, { recursive: true })
  await closeRouter(config)
  // Here it is a child of ours, to be reaped by and by.
  await vi.waitFor(() => expect(() => process.kill(before, 0)).toThrow('ESRCH'))
})

test('a pid that now belongs to somebody else is left alone', async () => {
  const { config, router } = await opened()
  await kill(router)
  writeFileSync(
    router.at.pid,
    JSON.stringify({ pid: process.pid, startTime: '1', version: '2.6.2' }),
  )
  const again = await openRouter(config)
  expect(pidOf(again)).not.toBe(process.pid)
})

test('a taken port is named, with the way out', async () => {
  const { config, close } = await freshInstance()
  closers.push(close)
  const other = createServer()
  closers.push(() => other.close())
  await listening(other, config.httpPort)
  await expect(openRouter(config)).rejects.toMatchObject({
    message: `The router cannot listen on port ${config.httpPort}: it is already in use`,
    hint:
      `Stop who has it (ss -ltnp 'sport = :${config.httpPort}'), ` +
      'or choose another port with PAAS_HTTP_PORT',
  })
})

test("another instance's Caddy on the port is a taken port too, though Caddy would share", async () => {
  const { config } = await opened()
  const second = await freshInstance()
  closers.push(second.close)
  const clash = { ...second.config, httpsPort: config.httpsPort }
  await expect(openRouter(clash)).rejects.toThrow(`port ${config.httpsPort}: it is already in use`)
})

test('a Caddy that exits at once is told with its last words', async () => {
  const { config, close } = await freshInstance()
  closers.push(close)
  mkdirSync(join(config.home, 'caddy'), { recursive: true })
  writeFileSync(join(config.home, 'caddy', 'pki'), '') // where it needs a directory
  await expect(openRouter(config)).rejects.toMatchObject({
    message: 'Caddy was started and exited at once',
    details: expect.arrayContaining([expect.stringContaining('not a directory')]),
  })
})

test('a state directory that Caddy cannot reach is named', async () => {
  const { config, close } = await freshInstance()
  closers.push(close)
  const closed = join(config.home, '..', 'closed')
  mkdirSync(closed, { mode: 0o700 })
  await expect(openRouter({ ...config, home: join(closed, 'state') })).rejects.toThrow(
    /^Caddy cannot reach .*closed\/state: .*closed is closed to other users$/,
  )
})

test('Caddy is not root, may only bind low ports, and its sockets are for it and root', async () => {
  const { router } = await opened()
  const status = readFileSync(`/proc/${pidOf(router)}/status`, 'utf8')
  expect(status).not.toMatch(/^Uid:\s+0/m)
  expect(status).toMatch(/^CapEff:\s+0000000000000400$/m)
  expect(status).toMatch(/^CapBnd:\s+0000000000000400$/m)
  expect(status).toMatch(/^NoNewPrivs:\s+1$/m)
  expect(statSync(router.at.sockets).mode & 0o777).toBe(0o700)
  expect(statSync(router.at.state).mode & 0o777).toBe(0o700)
})

test('it has a session of its own, so that it outlives the daemon', async () => {
  const { router } = await opened()
  const pid = pidOf(router)
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const session = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]
  expect(session).toBe(String(pid))
})

test('certificates survive a stop and a start', async () => {
  const { config, router } = await opened()
  const before = readFileSync(router.at.rootCertificate, 'utf8')
  await closeRouter(config)
  expect(isRunning(router)).toBe(false)
  await openRouter(config)
  expect(readFileSync(router.at.rootCertificate, 'utf8')).toBe(before)
})

test('closing what never ran, and closing twice, is no error', async () => {
  const { config, close } = await freshInstance()
  closers.push(close)
  await closeRouter(config)
  await openRouter({ ...config, httpPort: await freePort() })
  await closeRouter(config)
  await closeRouter(config)
})

async function opened() {
  const { config, close } = await freshInstance()
  closers.push(close)
  return { config, router: await openRouter(config) }
}

async function served(router: Router): Promise<string> {
  const app = await namedApp('still here')
  closers.push(app.close)
  setHosts(router, 'shop', ['shop.apps.test'])
  await publish(router, 'shop', [app.at])
  return 'still here'
}

function pidOf(router: Router): number {
  return JSON.parse(readFileSync(router.at.pid, 'utf8')).pid
}

async function kill(router: Router): Promise<void> {
  process.kill(pidOf(router), 'SIGKILL')
  const deadline = Date.now() + 30_000
  while (isRunning(router) && Date.now() < deadline) await pause(10)
}
