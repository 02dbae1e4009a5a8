import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Failure } from '../../core/errors.ts'
import { openRouter, type Router } from '../../router/caddy.ts'
import { listRoutes, publish, removeApp, setHosts } from '../../router/switch.ts'
import { patience } from '../patience.ts'
import { ask, freshInstance, namedApp, startApp } from './fixture.ts'

const instance = await freshInstance()
const { config } = instance
let router: Router
const apps = await Promise.all([namedApp('old'), namedApp('new')])
const [old, fresh] = apps.map(({ at }) => at) as [string, string]

beforeAll(async () => {
  router = await openRouter(config)
})

afterAll(async () => {
  for (const app of apps) app.close()
  await instance.close()
})

test('when publish returns, every request reaches the new set', async () => {
  setHosts(router, 'shop', ['shop.apps.test'])
  for (let round = 0; round < 20; round++) {
    await publish(router, 'shop', [old])
    expect((await ask(config, 'shop.apps.test')).body).toBe('old')
    await publish(router, 'shop', [fresh])
    expect((await ask(config, 'shop.apps.test')).body).toBe('new')
  }
})

test('50 switches under load lose no request, keep-alive on and off', async () => {
  setHosts(router, 'busy', ['busy.apps.test'])
  await publish(router, 'busy', [old])
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const results: string[] = []
  const open = new Set<Promise<void>>()
  const timer = setInterval(() => {
    for (let one = 0; one < 4; one++) {
      const body = one % 2 ? 'some bytes' : undefined
      const request = ask(config, 'busy.apps.test', {
        method: body ? 'POST' : 'GET',
        agent: one < 2 ? agent : false,
        ...(body && { body }),
      })
        .then(({ status, body: text }) => results.push(`${status} ${text}`))
        .catch((error: unknown) => results.push(String(error)))
        .then(() => void open.delete(request))
      open.add(request)
    }
  }, 10)
  for (let round = 0; round < 50; round++) {
    await publish(router, 'busy', [round % 2 ? old : fresh])
    await pause(40)
  }
  clearInterval(timer)
  await Promise.all(open)
  agent.destroy()
  expect(results.filter((result) => !/^200 (old|new)$/.test(result))).toEqual([])
  expect(results.length).toBeGreaterThan(400)
}, 60_000)

test('switches as fast as they go lose no request', async () => {
  setHosts(router, 'fast', ['fast.apps.test'])
  await publish(router, 'fast', [old])
  const done = new AbortController()
  const switches = (async () => {
    let count = 0
    for (; !done.signal.aborted; count++) await publish(router, 'fast', [count % 2 ? old : fresh])
    return count
  })()
  const agent = new Agent({ keepAlive: true })
  const statuses = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const seen = new Set<number>()
      for (let one = 0; one < 100; one++) {
        seen.add((await ask(config, 'fast.apps.test', { agent })).status)
      }
      return [...seen]
    }),
  )
  done.abort()
  agent.destroy()
  expect(await switches).toBeGreaterThan(20)
  expect(new Set(statuses.flat())).toEqual(new Set([200]))
}, 60_000)

test('a websocket lives through switches of its own app and of others', async () => {
  const sockets: Socket[] = []
  const chat = await startApp((_, response) => response.end())
  chat.server.on('upgrade', (_, socket: Socket) => {
    sockets.push(socket)
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    )
    socket.on('data', (chunk) => socket.write(`echo ${chunk}`))
  })
  setHosts(router, 'chat', ['chat.apps.test'])
  await publish(router, 'chat', [chat.at])
  const client = connect(config.httpPort, '127.0.0.1')
  client.write(
    'GET / HTTP/1.1\r\nHost: chat.apps.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  )
  await next(client, '101 Switching Protocols')
  for (let round = 0; round < 20; round++) {
    await publish(router, 'shop', [round % 2 ? old : fresh])
    await publish(router, 'chat', [round % 2 ? chat.at : old])
    setHosts(router, 'other', [`other-${round}.apps.test`])
  }
  client.write('hello')
  await next(client, 'echo hello')
  client.destroy()
  for (const socket of sockets) socket.destroy()
  chat.close()
})

test('a switch that was cut off between its two steps is served, listed, and mended', async () => {
  setHosts(router, 'half', ['half.apps.test'])
  await publish(router, 'half', [old])
  await pause(10) // the file system's clock ticks every few milliseconds
  writeFileSync(join(router.at.apps, 'half', fresh), '')
  expect((await ask(config, 'half.apps.test')).body).toBe('new')
  expect(new Set(listRoutes(router).get('half')?.upstreams)).toEqual(new Set([old, fresh]))
  await publish(router, 'half', [old])
  expect(readdirSync(join(router.at.apps, 'half'))).toEqual([old])
  expect((await ask(config, 'half.apps.test')).body).toBe('old')
})

test('a switch that the router does not confirm is taken back', async () => {
  setHosts(router, 'deaf', ['deaf.apps.test'])
  await publish(router, 'deaf', [old])
  const deaf: Router = { ...router, api: { ...router.api, confirm: async () => [old] } }
  await expect(publish(deaf, 'deaf', [fresh])).rejects.toThrow(
    `The router was switched to ${fresh} for deaf.apps.test, and 2 s later it still finds ${old}`,
  )
  expect(readdirSync(join(router.at.apps, 'deaf'))).toEqual([old])
})

test('two switches of one app at once end with the later one', async () => {
  setHosts(router, 'twice', ['twice.apps.test'])
  await Promise.all([publish(router, 'twice', [old]), publish(router, 'twice', [fresh])])
  expect((await ask(config, 'twice.apps.test')).body).toBe('new')
})

test('an app may run without a host, and with no process', async () => {
  await publish(router, 'quiet', [old])
  await publish(router, 'quiet', [])
  expect(listRoutes(router).get('quiet')).toEqual({ upstreams: [], hosts: [] })
})

test('more upstreams than the router can use are refused with the number to ask for', async () => {
  const many = Array.from({ length: 13 }, (_, index) => `10.87.0.${index + 2}:5000`)
  const failure: Failure = await publish(router, 'crowd', many).catch((error) => error)
  expect(failure.message).toBe('13 web processes are more than the router can use')
  expect(failure.hint).toBe('Use at most 12: ps:scale web=12')
})

test('twelve of the longest addresses fit in a file name', async () => {
  const most = Array.from({ length: 12 }, (_, index) => `255.255.255.${index + 100}:5000`)
  await publish(router, 'long', most)
  expect(listRoutes(router).get('long')?.upstreams).toEqual(most)
  removeApp(router, 'long')
})

test.each(['10.87.0.5', '10.87.0.5:0', '10.87.0.5:70000', 'x:5000', '../a:1', '1.2.3.4:5/6', ''])(
  'the upstream "%s" is refused',
  async (upstream) => {
    await expect(publish(router, 'bad', [upstream])).rejects.toThrow('expected ip:port')
  },
)

describe('hosts', () => {
  test('replacing them keeps what stays, adds what is new, and drops the rest', async () => {
    setHosts(router, 'site', ['a.example', 'b.example'])
    await publish(router, 'site', [old])
    setHosts(router, 'site', ['b.example', 'c.example'])
    const statuses = await Promise.all(
      ['a.example', 'b.example', 'c.example'].map((host) => ask(config, host)),
    )
    expect(statuses.map(({ status }) => status)).toEqual([404, 200, 200])
    expect(listRoutes(router).get('site')?.hosts.sort()).toEqual(['b.example', 'c.example'])
  })

  test('a host of another app is refused, and nothing changes', () => {
    setHosts(router, 'first', ['taken.example'])
    setHosts(router, 'second', ['mine.example'])
    expect(() => setHosts(router, 'second', ['new.example', 'taken.example'])).toThrow(
      'taken.example already leads to the app "first"',
    )
    expect(listRoutes(router).get('second')?.hosts).toEqual(['mine.example'])
  })

  test('a host taken behind our back, by another router handle, is refused too', async () => {
    const other = await openRouter(config)
    setHosts(other, 'sly', ['behind.example'])
    expect(() => setHosts(router, 'second', ['behind.example'])).toThrow('already leads to')
  })

  test('a removed app is unknown, and its host free for another', async () => {
    setHosts(router, 'gone', ['moving.example'])
    await publish(router, 'gone', [old])
    removeApp(router, 'gone')
    removeApp(router, 'gone')
    expect((await ask(config, 'moving.example')).status).toBe(404)
    setHosts(router, 'heir', ['moving.example'])
    expect(listRoutes(router).has('gone')).toBe(false)
  })

  test.each(['../../etc', 'a/b', '*', '', '.', '..'])('the name "%s" is refused', (name) => {
    expect(() => setHosts(router, 'site', [name])).toThrow('is not a domain name')
    expect(() => setHosts(router, name, ['x.example'])).toThrow('is not an app name')
  })

  test('a thousand apps are listed, and one of them is switched, without delay', async () => {
    for (let app = 0; app < 1000; app++) {
      mkdirSync(join(router.at.apps, `m${app}`), { recursive: true })
      setHosts(router, `m${app}`, [`m${app}.apps.test`])
    }
    await publish(router, 'm500', [old])
    const began = performance.now()
    for (let round = 0; round < 20; round++) {
      await publish(router, 'm500', [round % 2 ? old : fresh])
    }
    expect((performance.now() - began) / 20).toBeLessThan(patience(50))
    expect(listRoutes(router).size).toBeGreaterThan(1000)
  })
})

async function next(socket: Socket, text: string): Promise<void> {
  let seen = ''
  const signal = AbortSignal.timeout(30_000)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => reject(new Error(`waited for "${text}", got "${seen}"`)))
  socket.once('close', () => reject(new Error(`closed before "${text}", after "${seen}"`)))
  const look = (chunk: Buffer) => {
    seen += chunk.toString('utf8')
    if (seen.includes(text)) resolve()
  }
  socket.on('data', look)
  await promise
  socket.off('data', look)
}
