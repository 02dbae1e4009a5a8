import { connect } from 'node:net'
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openRouter, type Router } from '../../router/caddy.ts'
import { hasPage, hidePage, showPage } from '../../router/maintenance.ts'
import { publish, removeApp, setHosts } from '../../router/switch.ts'
import { patience } from '../patience.ts'
import { freePort } from '../ports.ts'
import { ask, freshInstance, namedApp, secure, startApp } from './fixture.ts'

/** What a request through the running router meets. */

const instance = await freshInstance()
const { config } = instance
let router: Router
// These wait while the other tests go on.
let slowHead: Promise<number>
let slowBody: ReturnType<typeof connect>
const apps = await Promise.all(
  Array.from({ length: 12 }, (_, index) => namedApp(`shop from ${index}`)),
)
const echo = await startApp((incoming, response) => {
  response.end(JSON.stringify({ url: incoming.url, headers: incoming.headers }))
})

beforeAll(async () => {
  router = await openRouter(config)
  setHosts(router, 'shop', ['shop.apps.test', 'www.shop.example'])
  await publish(router, 'shop', [apps[0]?.at ?? ''])
  setHosts(router, 'echo', ['echo.apps.test'])
  await publish(router, 'echo', [echo.at])
  slowHead = headThatNeverEnds()
  slowBody = connect(config.httpPort, '127.0.0.1')
  slowBody.write('POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 2\r\n\r\na')
})

afterAll(async () => {
  for (const app of [...apps, echo]) app.close()
  await instance.close()
})

test('an app answers on each of its hosts, with and without a port', async () => {
  for (const host of ['shop.apps.test', 'www.shop.example', `shop.apps.test:${config.httpPort}`]) {
    expect(await ask(config, host)).toMatchObject({ status: 200, body: 'shop from 0' })
  }
})

test('capitals and a final dot name the same app', async () => {
  for (const host of ['SHOP.apps.test', 'shop.apps.test.', 'Shop.Apps.Test.:80']) {
    expect((await ask(config, host)).body).toBe('shop from 0')
  }
})

describe('pages of ours', () => {
  test('an unknown host gets a 404 that names nothing', async () => {
    const answer = await ask(config, 'nobody.apps.test')
    expect(answer.status).toBe(404)
    expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(answer.body).toContain('No app answers at this address')
    expect(answer.body).not.toMatch(/shop|echo|apps\.test|127\.0|\/run/)
  })

  test('an app of which nothing runs gets a 503 with Retry-After', async () => {
    setHosts(router, 'idle', ['idle.apps.test'])
    await publish(router, 'idle', [])
    const answer = await ask(config, 'idle.apps.test')
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '5' } })
    expect(answer.body).toContain('The app is not running')
  })

  test('an app that refuses connections gets a 502 after a short retry', async () => {
    setHosts(router, 'dead', ['dead.apps.test'])
    await publish(router, 'dead', [`127.0.0.1:${await freePort()}`])
    const began = Date.now()
    const answer = await ask(config, 'dead.apps.test')
    expect(answer.status).toBe(502)
    expect(answer.body).toContain('The app did not answer')
    expect(answer.body).toMatch(/Request [0-9a-f-]{36}/)
    expect(answer.body).not.toContain('127.0.0.1')
    expect(Date.now() - began).toBeLessThan(patience(2000))
  })

  test('a client that asks for JSON gets the sentence as JSON', async () => {
    const headers = { accept: 'application/json' }
    const answer = await ask(config, 'nobody.apps.test', { headers })
    expect(JSON.parse(answer.body)).toEqual({ error: 'No app answers at this address' })
  })

  test('an app in maintenance answers with its page, however long its name', async () => {
    const longest = `${`${'x'.repeat(61)}.`.repeat(4)}test`.padStart(253, 'x')
    setHosts(router, 'closed', ['closed.apps.test', longest])
    showPage(router, ['closed.apps.test', longest], '<p>closed</p>')
    for (const host of ['closed.apps.test', longest]) {
      const answer = await ask(config, host, { method: 'POST', path: '/x.css' })
      expect(answer).toMatchObject({ status: 503, body: '<p>closed</p>' })
      expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
    }
    expect(hasPage(router, [longest])).toBe(true)
    hidePage(router, [longest])
    expect((await ask(config, longest)).body).toContain('The app is not running')
    removeApp(router, 'closed')
  })

  test("an app's own 404 and 502 answers pass through as they are", async () => {
    const app = await startApp((incoming, response) => {
      response.writeHead(Number(incoming.url?.slice(1)))
      response.end('mine')
    })
    setHosts(router, 'own', ['own.apps.test'])
    await publish(router, 'own', [app.at])
    for (const status of [404, 502, 503]) {
      const answer = await ask(config, 'own.apps.test', { path: `/${status}` })
      expect(answer).toMatchObject({ status, body: 'mine' })
    }
    app.close()
  })
})

test.each(
  ['../a/shop', '..', '.', '*', '*.apps.test', 'sho?.apps.test', 'sho[p].apps.test', 'a/b', '']
    .concat(['..%2fa%2fshop', 'h..x', '[::1]', '{http.request.uri.path}', '-', 'shop.apps.test,x'])
    .concat(['shop.apps.test\\', '.shop.apps.test', 'shop.apps.test..', 'x'.repeat(5000)]),
)('the host "%s" reaches no app', async (host) => {
  const { status, body } = await raw(config.httpPort, host)
  expect([400, 404]).toContain(status)
  expect(body).not.toContain('shop from')
})

test('apps get headers they can trust, whatever the client sends', async () => {
  const forged = {
    'x-forwarded-for': '6.6.6.6',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'bank.example',
    'x-forwarded-port': '6',
    x_forwarded_for: '6.6.6.6',
    'x-real-ip': '6.6.6.6',
    forwarded: 'for=6.6.6.6',
    'x-request-id': 'six',
    'x-request-start': '6',
    proxy: 'http://6.6.6.6',
  }
  // A runtime that passes headers on as variables cannot tell these from the real ones.
  const alike = ['x-forwarded-for', 'x-real-ip', 'x-request-id', 'x-request-start'].flatMap(
    (name) => {
      const [x, which, what] = name.split('-')
      return [`${x}_${which}_${what}`, `${x}_${which}-${what}`, `${x}-${which}_${what}`]
    },
  )
  const before = Date.now()
  const answer = await ask(config, 'echo.apps.test', {
    path: '/a%2Fb?c=1',
    headers: { ...forged, ...Object.fromEntries(alike.map((name) => [name, '6.6.6.6'])) },
  })
  const { url, headers } = JSON.parse(answer.body)
  expect(url).toBe('/a%2Fb?c=1')
  expect(headers).toMatchObject({
    host: 'echo.apps.test',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'echo.apps.test',
    'x-request-id': expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f-]{27}$/),
  })
  expect(Math.abs(Number(headers['x-request-start']) - before)).toBeLessThan(5000)
  expect(JSON.stringify(headers)).not.toContain('6.6.6.6')
  for (const name of [...alike, 'x-real-ip', 'forwarded', 'proxy', 'x-forwarded-port']) {
    expect(headers).not.toHaveProperty(name)
  }
})

test('1 to 12 upstreams each get their share', async () => {
  setHosts(router, 'many', ['many.apps.test'])
  for (const count of [1, 2, 5, 7, 11, 12]) {
    const chosen = apps.slice(0, count)
    await publish(
      router,
      'many',
      chosen.map(({ at }) => at),
    )
    const seen = new Map<string, number>()
    const each = 60
    const answers = Array.from({ length: count * each }, () => ask(config, 'many.apps.test'))
    for (const { body } of await Promise.all(answers)) seen.set(body, (seen.get(body) ?? 0) + 1)
    expect(seen.size).toBe(count)
    for (const share of seen.values()) {
      expect(share).toBeGreaterThan(each * 0.4) // six sigma below the mean
      expect(share).toBeLessThan(each * 1.8)
    }
  }
  removeApp(router, 'many')
})

test('an answer reaches the client piece by piece', async () => {
  const held: ServerResponse[] = []
  const app = await startApp((_, response) => {
    response.write('first')
    held.push(response)
  })
  setHosts(router, 'slow', ['slow.apps.test'])
  await publish(router, 'slow', [app.at])
  const socket = connect(config.httpPort, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: slow.apps.test\r\nConnection: close\r\n\r\n')
  await until(socket, 'first')
  held[0]?.end('last')
  await until(socket, 'last')
  socket.destroy()
  app.close()
})

test('a head that comes too slowly is cut off, a slow body is not', async () => {
  expect(await slowHead).toBeGreaterThan(5000)
  slowBody.write('b')
  await until(slowBody, 'shop from 0')
  slowBody.destroy()
}, 30_000)

describe('https', () => {
  test("an app's name below the domain is served with our own authority's certificate", async () => {
    // Certificates are made after the start.
    await vi.waitFor(async () => expect(await secure(config, 'shop.apps.test')).toBe(200), 30_000)
  })

  test('any other name fails in the handshake', async () => {
    await expect(secure(config, 'www.shop.example')).rejects.toThrow(/alert internal error/)
  })
})

/** After how many milliseconds the router gives up on it. */
async function headThatNeverEnds(): Promise<number> {
  const began = Date.now()
  const socket = connect(config.httpPort, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: shop.apps.test\r\n')
  const { promise: cut, resolve } = Promise.withResolvers<void>()
  socket.on('close', resolve).on('error', () => {})
  socket.resume()
  await cut
  return Date.now() - began
}

/** A request with any bytes as Host, which Node's own client would refuse to send. */
async function raw(port: number, host: string): Promise<{ status: number; body: string }> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  const body = Buffer.concat(chunks).toString('utf8')
  return { status: Number(body.split(' ')[1]), body }
}

async function until(socket: ReturnType<typeof connect>, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let seen = ''
  const look = (chunk: Buffer) => {
    seen += chunk.toString('utf8')
    if (seen.includes(text)) resolve()
  }
  socket.on('data', look).once('error', reject)
  socket.once('close', () => reject(new Error(`closed after "${seen}"`)))
  await promise
  socket.off('data', look)
}
