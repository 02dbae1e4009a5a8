import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultLimits } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import { Fleet, type Member } from '../../daemon/fleet/fleet.ts'
import { openRoutes } from '../../daemon/routes.ts'
import { openStore, type Store } from '../../daemon/store/store.ts'
import { closeRouter, openRouter, type Router } from '../../router/caddy.ts'
import { listRoutes, publish, setHosts } from '../../router/switch.ts'
import { nextAddress } from '../../runner/address.ts'
import { isMarked, mark } from '../../runner/marks.ts'
import { listInstances } from '../../runner/observe.ts'
import { endInstance } from '../../runner/stop.ts'
import { node, openTestHost, type TestHost, until } from '../runner/fixture.ts'

/** What a daemon makes of what a killed one has left. */

let t: TestHost
let router: Router
let store: Store
beforeAll(async () => {
  t = await openTestHost()
  router = await openRouter(t.config)
  store = openStore(paths(t.config).database)
})
afterAll(async () => {
  store.close()
  await closeRouter(t.config)
  await t[Symbol.asyncDispose]()
})

function openFleet() {
  const stopped: Member[] = []
  const fleet = new Fleet(
    t.host,
    t.config,
    {
      starting: async () => {},
      live: () => {},
      leaving: () => {},
      draining: async () => {},
      stopped: (member) => void stopped.push(member),
      unwatched: () => {},
      died: () => {},
      unready: async () => {},
    },
    () => ({ modes: {} }),
  )
  return { fleet, stopped, [Symbol.dispose]: () => fleet.close() }
}

const leavesWhenToldTwice = node(`
  let told = 0
  process.on('SIGTERM', () => {
    console.log('told')
    if (++told === 2) process.exit(0)
  })
  setInterval(() => {}, 1000)
  console.log('listening')
`)

/** Whether a container of the app has printed a line. */
function printed(line: string): boolean {
  const logs = paths(t.config).logs('shop')
  return readdirSync(logs).some((name) => readFileSync(join(logs, name), 'utf8').includes(line))
}

test('of two twins the one that was being stopped goes, and the newer one comes first', async () => {
  const old = await t.start(leavesWhenToldTwice)
  const young = await t.start(['sleep', '1000'])
  for (const { id } of [old, young]) mark(t.host, id, 'ready')
  using before = openFleet()
  await until('it listens', () => printed('listening'))
  const ended = endInstance(t.host, old.id, { graceMs: 60_000 })
  await until('it was told once: two signals at once are one', () => printed('told'))
  expect(isMarked(t.host, old.id, 'leaving')).toBe(true)

  const known = await listInstances(t.host)
  expect(known.map(({ id }) => id)).toEqual([young.id, old.id])
  using after = openFleet()
  after.fleet.readmit(known)
  expect(after.fleet.of('shop').map(({ id, state }) => ({ id, state }))).toEqual([
    { id: young.id, state: 'live' },
    { id: old.id, state: 'retiring' },
  ])
  expect((await ended)?.code).toBe(0)
  await until('it is gone', () => after.stopped.length === 1)
  expect(before.stopped).toEqual([])
  await after.fleet.stop([young])
  using place = after.fleet.place()
  expect(place.address).toBe(nextAddress(t.config.subnet, new Set(), young.address))
})

test('no route leads to an address where nothing of the app is', async () => {
  const image = {
    layers: [],
    processes: { web: 'sleep 1000' },
    env: {},
    language: 'Node',
  }
  const release = { commit: 'a', image, config: {}, formation: { web: 1 }, limits: defaultLimits }
  for (const name of ['alpha', 'shop', 'zebra']) {
    const app = store.createApp(name, defaultLimits)
    const about = { cause: 'Deploy', by: 'me' }
    store.commitRelease(store.createRelease(app, { ...release, mounts: [] }, about))
    setHosts(router, name, [`${name}.localhost`])
  }
  const shop = await t.start(['sleep', '1000'])
  mark(t.host, shop.id, 'ready')
  await publish(router, 'shop', [`${shop.address}:5000`, '10.1.1.1:5000'])
  await publish(router, 'zebra', [`${shop.address}:5000`])
  using one = openFleet()
  one.fleet.readmit(await listInstances(t.host))

  openRoutes(t.config, store, one.fleet, () => router).sweep()
  const routes = [...listRoutes(router)].map(([app, { upstreams }]) => [app, upstreams])
  expect(Object.fromEntries(routes)).toEqual({
    alpha: [],
    shop: [`${shop.address}:5000`],
    zebra: [],
  })
  await one.fleet.stop([shop])
})
