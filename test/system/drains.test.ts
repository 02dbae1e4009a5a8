import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import { createServer as createTcp, type AddressInfo, type Server, type Socket } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { Drain } from '../../daemon/logs/drain.ts'
import { syslogFrame } from '../../daemon/logs/drain-target.ts'
import { isOwn, outsideOnly } from '../../daemon/logs/own-network.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

/** Lines of an app's log, sent to real servers of ours. */
const line = (text: string) => ({
  app: 'shop',
  at: '2026-11-21T06:00:00.123456789Z',
  process: 'web.1',
  release: 7,
  stream: 'stdout' as const,
  text,
})

describe('drains of an app', () => {
  const end = new AsyncDisposableStack()
  let paas: Paas
  let keys: string
  beforeAll(async () => {
    keys = await mkdtemp(join(tmpdir(), 'paas-drain-'))
    end.defer(() => rm(keys, { recursive: true, force: true }))
    await makeCertificate(keys)
    paas = end.use(await startPaas({ NODE_EXTRA_CA_CERTS: join(keys, 'cert.pem') }))
    const before = `setImmediate(() => server.on('request', (req) => {
      if (req.url.startsWith('/log/')) console.log('said ' + req.url.slice(5))
    }))`
    await paas.push('shop', await paas.tree('shop', nodeApp('shop', { before })))
  })
  afterAll(() => end.disposeAsync())

  const listen = async (server: Server | HttpServer) => {
    end.defer(() => void server.close())
    await new Promise<void>((done) => server.listen({ port: 0, host: '127.0.0.1' }, done))
    return (server.address() as AddressInfo).port
  }
  const report = async () =>
    JSON.parse((await paas.ssh(['logs:drain', 'list', 'shop', '--json'])).stdout)

  test('HTTP gets JSON lines, again until it takes them, and is told in the list', async () => {
    const bodies: string[] = []
    let refuse = 2
    const port = await listen(
      createServer((request, response) => {
        let body = ''
        request.on('data', (chunk: Buffer) => (body += chunk.toString()))
        request.on('end', () => {
          if (refuse-- > 0) return response.writeHead(503).end()
          bodies.push(body)
          response.writeHead(204).end()
        })
      }),
    )
    const url = `http://user:secret@127.0.0.1:${port}/in`
    const added = await paas.paas(['logs:drain', 'add', 'shop', url])
    expect([added.code, added.out]).toEqual([0, expect.not.stringContaining('secret')])
    await paas.get('shop', '/log/http')
    await until('it has arrived', () => bodies.join('').includes('said http'), 30_000)
    const sent = bodies
      .join('')
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text))
    expect(sent).toContainEqual({
      at: expect.any(String),
      app: 'shop',
      process: 'web.1',
      release: 1,
      stream: 'stdout',
      text: 'said http',
    })
    const [fact] = await report()
    expect(fact).toMatchObject({ dropped: 0, problem: null })
    expect(fact.url).toBe(`http://***@127.0.0.1:${port}/in`)
    expect((await paas.ssh(['logs:drain', 'remove', 'shop', url])).code).toBe(0)
    expect(await report()).toEqual([])
  })

  test('syslog over TCP and TLS gets framed messages, those too that came while paas was down', async () => {
    const [plain, secret]: [string[], string[]] = [[], []]
    let connections = 0
    const tcp = await listen(createTcp(collect(plain)).on('connection', () => (connections += 1)))
    const pair = ['key', 'cert'].map((name) => readFileSync(join(keys, `${name}.pem`)))
    const tls = await listen(createTls({ key: pair[0], cert: pair[1] }, collect(secret)))
    await paas.paas(['logs:drain', 'add', 'shop', `syslog+tcp://127.0.0.1:${tcp}`])
    await paas.paas(['logs:drain', 'add', 'shop', `syslog+tls://localhost:${tls}`])
    await paas.killDaemon()
    connections = 0
    await paas.get('shop', '/log/meanwhile')
    await paas.startDaemon()
    const arrive = async (text: string) => {
      const pattern = new RegExp(`\\d+ <134>1 \\S+Z \\S+ shop web\\.1 v1 - said ${text}`)
      for (const got of [plain, secret]) {
        await until(`${text} has arrived`, () => pattern.test(got.join('')), 30_000)
      }
    }
    await arrive('meanwhile')
    await paas.get('shop', '/log/syslog')
    await arrive('syslog')
    expect(plain.join('').match(/said meanwhile/g)).toHaveLength(1)
    expect(connections).toBe(1)
    expect(await report()).toHaveLength(2)
  })

  test('none leads to this machine, its apps or its link unless root on it says so', async () => {
    const { subnet } = paas.config
    const own = ['127.0.0.1', '0x7f.1', '[::1]', '[::ffff:127.0.0.1]', '169.254.169.254', '0']
    const hosts = [...own, 'localhost', subnet.replace(/0\/\d+$/, '7')]
    for (const host of hosts) {
      for (const url of [`http://${host}:80/`, `syslog+tcp://${host}:514`]) {
        const { code, stderr } = await paas.ssh(['logs:drain', 'add', 'shop', url])
        expect([url, code, stderr]).toEqual([
          url,
          21,
          expect.stringContaining('this server itself'),
        ])
        expect(stderr).toContain('paas logs:drain add APP URL')
      }
    }
    const url = 'http://127.0.0.1:9/'
    expect((await paas.paas(['logs:drain', 'add', 'shop', url])).code).toBe(0)
    expect((await paas.ssh(['logs:drain', 'remove', 'shop', url])).code).toBe(0)
  })

  test('what is no address is refused', async () => {
    for (const url of ['shop', 'ftp://x', 'syslog+tls://x', 'file:///etc/passwd']) {
      const { code, stderr } = await paas.paas(['logs:drain', 'add', 'shop', url])
      expect([code, stderr]).toEqual([2, expect.stringContaining('is not the address of a drain')])
    }
    expect((await paas.ssh(['logs:drain', 'grow', 'shop'])).code).toBe(2)
    expect((await paas.ssh(['logs:drain', 'list', 'nobody'])).code).toBe(20)
  })
})

test('a drain that is away keeps so much and says how much it has dropped', async () => {
  const bodies: string[] = []
  const server = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()))
    request.on('end', () => response.end())
  })
  await new Promise<void>((done) => server.listen({ port: 0, host: '127.0.0.1' }, done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  const drain = new Drain(`http://127.0.0.1:${port}/`)
  for (let count = 0; count < 12_000; count++) drain.push(line(`number ${count}`))
  await until('it has failed', () => drain.report().problem !== null)
  expect(drain.report().dropped).toBeGreaterThanOrEqual(1500)
  expect(drain.report().waiting).toBeLessThanOrEqual(10_500)
  await new Promise<void>((done) => server.listen({ port, host: '127.0.0.1' }, done))
  await until('all is sent', () => drain.report().waiting === 0, 30_000)
  expect(bodies.join('')).toContain(`${drain.report().dropped} lines were dropped`)
  expect(bodies.join('')).toContain('number 11999')
  drain.close()
  server.close()
})

test('what a name stands for is asked at each connection', async () => {
  let calls = 0
  const server = createServer((_request, response) => response.end(String(calls++)))
  server.on('connection', () => calls++)
  await new Promise<void>((done) => server.listen({ port: 0, host: '127.0.0.1' }, done))
  const { port } = server.address() as AddressInfo
  for (const kind of ['http', 'syslog+tcp', 'syslog+tls']) {
    const drain = new Drain(`${kind}://localhost:${port}`, outsideOnly('10.0.0.0/8'))
    drain.push(line('not for here'))
    await until('it has failed', () => drain.report().problem !== null)
    expect(drain.report().problem).toMatch(/^localhost \(\S+\) is this server itself/)
    drain.close()
  }
  expect(calls).toBe(0)
  server.close()
})

test('own are the loopback, the link, the apps and what this machine is called itself', () => {
  const mine = Object.values(networkInterfaces()).flatMap((of) => of?.map((one) => one.address))
  const own = ['127.1.2.3', '0.0.0.0', '169.254.169.254', '10.87.3.4', '::', '::1', 'fe80::1']
  const mapped = ['::ffff:127.0.0.1', '::ffff:a57:1', '255.255.255.255', '224.0.0.1']
  const others = ['10.88.0.1', '9.9.9.9', '192.0.2.1', '2001:db8::1', '::ffff:9.9.9.9']
  const all = [...own, ...mapped, ...mine.map(String), ...others]
  const kept = all.filter((one) => !isOwn(one, '10.87.0.0/16'))
  expect(kept).toEqual(others)
})

test('a message of syslog has its length in bytes, its severity and its time', () => {
  const frame = syslogFrame(line('grüße'))
  const [, length, rest = ''] = /^(\d+) (.*)$/s.exec(frame) ?? []
  expect(Buffer.byteLength(rest)).toBe(Number(length))
  expect(rest).toMatch(/^<134>1 2026-11-21T06:00:00\.123456Z \S+ shop web\.1 v7 - grüße$/)
  expect(syslogFrame({ ...line('x'), stream: 'stderr' })).toContain('<131>1 ')
})

async function makeCertificate(folder: string): Promise<void> {
  const out = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  await exec('openssl', ['req', '-x509', '-nodes', '-days', '2', ...kind, ...subject, ...out])
}

function collect(into: string[]) {
  return (socket: Socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk) => into.push(chunk.toString()))
  }
}
