import { once } from 'node:events'
import { readdirSync, utimesSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ensureLayer } from '../../builder/layers/layers.ts'
import { newId, paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import { commitTree, nodeApp, type Paas, startPaas, until } from './instance.ts'
import { makeSmallDisk, type SmallDisk } from './small-disk.ts'

const mebibyte = 1024 * 1024

describe('a small disk', () => {
  const end = new AsyncDisposableStack()
  let disk: SmallDisk
  let paas: Paas
  beforeAll(async () => {
    disk = end.use(await makeSmallDisk(300))
    const PAAS_HOME = join(disk.root, 'home')
    paas = end.use(await startPaas({ PAAS_HOME, PAAS_MIN_FREE: '32' }))
    end.defer(() => disk.clear())
    expect(await push('first')).toMatchObject({ code: 0 })
  })
  afterAll(() => end.disposeAsync())

  const push = async (body: string, build?: string) => {
    const scripts = { start: 'node server.js', ...(build ? { build } : {}) }
    const files = { ...nodeApp(body), 'package.json': JSON.stringify({ scripts }) }
    return paas.push('shop', await paas.tree('shop', files))
  }
  const body = async () => (await paas.get('shop')).body
  /** What nobody made by a deploy that came to nothing may leave. */
  const remains = () => {
    const { making, store } = paths(paas.config)
    const running = 1
    return {
      making: readdirSync(making).length,
      scratch: readdirSync(join(store, 'scratch')).length - running,
    }
  }

  test('is shown by app and by layer, each with its size and its releases', async () => {
    const json = JSON.parse((await paas.paas(['disk', '--json'])).stdout)
    expect(json.total).toBeLessThan(300 * mebibyte)
    expect(json.apps).toEqual([expect.objectContaining({ app: 'shop' })])
    const [shop] = json.apps
    expect(shop.repository).toBeGreaterThan(0)
    expect(shop.layers).toBeGreaterThan(0)
    const { layers } = JSON.parse((await paas.paas(['disk', 'shop', '--json'])).stdout)
    const tree = layers.find(({ kind }: { kind: string }) => kind === 'app')
    expect(tree).toMatchObject({ references: 1, releases: ['shop v1'], shared: false })
    expect(tree.bytes).toBeGreaterThan(0)
    expect(layers.map(({ kind }: { kind: string }) => kind)).toContain('stack')
    const { stdout } = await paas.paas(['disk'])
    expect(stdout).toMatch(/MB of .* MB are free\n  APP +RELEASES[^]*shop +.*B\n/)
    expect(stdout).toMatch(/stacks and runtimes +\d/)
    expect((await paas.paas(['disk', 'shpo'])).code).toBe(20)
  })

  test('with too little room refuses a build before it begins, and names who takes it', async () => {
    await disk.fill(20 * mebibyte)
    const refused = await push('second', 'echo never-built')
    expect(refused.code).not.toBe(0)
    expect(refused.out).toMatch(/ ! {5}Not built: 2\d(\.\d)? MB of .* a build wants 33.6 MB/)
    expect(refused.out).toContain('app shop: ')
    expect(refused.out).not.toContain('never-built')
    expect(await body()).toBe('first')
    await disk.clear()
    expect(await push('second')).toMatchObject({ code: 0 })
    expect(await body()).toBe('second')
  })

  test('filled by a build ends that build alone, and leaves nothing of it', async () => {
    const refused = await push('third', 'head -c 1G /dev/zero > big')
    expect(refused.code).not.toBe(0)
    expect(refused.out).toMatch(/filled the disk of the server and was stopped/)
    expect(await body()).toBe('second')
    await until('the old container is gone', () => remains().scratch === 0)
    expect(remains()).toEqual({ making: 0, scratch: 0 })
    expect(await disk.free()).toBeGreaterThan(64 * mebibyte)
    // One that goes slowly is stopped while there is room for others.
    const slowly = 'while :; do head -c 8M /dev/zero >> big; sleep 0.3; done'
    await disk.fill(50 * mebibyte)
    const slow = await push('third', slowly)
    expect(slow.out).toMatch(/filled the disk of the server and was stopped/)
    await disk.clear()
    expect(await push('third')).toMatchObject({ code: 0 })
    expect(await body()).toBe('third')
  })

  test('that is full to the last byte stops no app and no daemon', async () => {
    await until('old containers are gone', () => remains().scratch === 0)
    await disk.fill()
    const pid = paas.daemonPid()
    expect((await push('fourth')).code).not.toBe(0)
    const set = await paas.ssh(['config:set', 'shop', `KEY=${'x'.repeat(60_000)}`])
    expect([set.code, set.stderr]).toEqual([
      1,
      expect.stringContaining('disk of the server is full'),
    ])
    const created = await paas.ssh(['apps:create', 'other'])
    expect([created.code, created.stderr]).toEqual([
      1,
      expect.stringContaining('disk of the server is full'),
    ])
    expect(created.stderr).not.toContain('git')
    expect((await paas.ssh(['ps', 'shop'])).code).toBe(0)
    expect(await body()).toBe('third')
    await paas.ssh(['images:gc'])
    await paas.ssh(['disk'])
    expect(paas.daemonPid()).toBe(pid)
    await paas.killDaemon()
    await paas.startDaemon()
    expect(await body()).toBe('third')

    await disk.clear()
    using db = new DatabaseSync(paths(paas.config).database, { readOnly: true })
    expect(db.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' })
    expect((await paas.ssh(['config:get', 'shop', 'KEY'])).code).toBe(1)
    expect(await push('fifth')).toMatchObject({ code: 0 })
    expect(await body()).toBe('fifth')
  })
})

/** Answers a POST once all of it has come, with a file that nobody has read before. */
const readsLate = `const [answer] = server.listeners('request')
server.removeAllListeners('request')
server.on('request', (req, res) => {
  if (req.method !== 'POST') return answer(req, res)
  const file = () => require('node:fs').readFileSync('gone/file')
  req.resume().on('end', () => res.end(file()))
})
server.listen(process.env.PORT)`

describe('releases of an app whose every deploy changes one file', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  test('leave tools of the host alone, which go when somebody asks for room a day later', async () => {
    const { config } = paas
    const tool: Layer = { kind: 'runtime', key: `tool-${newId()}`, label: 'Tool' }
    const { signal } = new AbortController()
    await ensureLayer(config, { layer: tool, make: async () => {}, signal })
    const mark = `${paths(config).layer(tool)}.used`
    const removed = async () => JSON.parse((await paas.ssh(['images:gc', '--json'])).stdout).removed
    utimesSync(mark, ...daysAgo(0.9))
    expect(await removed()).not.toContain(tool.key)
    utimesSync(mark, ...daysAgo(1.1))
    expect(await removed()).toContain(tool.key)
  })

  test('share the other files, and only five are kept, and what still drains has its own', async () => {
    const big = Object.fromEntries(
      Array.from({ length: 8 }, (_, index) => [`data/${index}`, `${index}`.repeat(mebibyte)]),
    )
    const first = nodeApp('v0', { listen: readsLate })
    const dir = await paas.tree('shop', { ...first, ...big, 'gone/file': 'late' })
    expect(await paas.push('shop', dir)).toMatchObject({ code: 0 })
    await paas.paas(['checks:set', 'shop', 'drain=60'])
    const { httpPort: port, domain } = paas.config
    const host = `shop.${domain}`
    const open = request({ host: '127.0.0.1', port, method: 'POST', headers: { host } })
    const answered = once(open, 'response')
    open.write('begin')
    for (let round = 1; round <= 7; round += 1) {
      await commitTree(dir, nodeApp(`v${round}`))
      expect(await paas.push('shop', dir)).toMatchObject({ code: 0 })
    }
    expect((await paas.get('shop')).body).toBe('v7')
    const { layers } = paths(paas.config)
    const trees = () => readdirSync(layers).filter((name) => /^app-1-[0-9a-f]+$/.test(name))
    await until('all but the one with an open request are gone', async () => {
      await paas.paas(['images:gc'])
      return trees().length <= 6
    })
    open.end()
    const [response] = await answered
    expect(await text(response)).toBe('late')
    await until('the others have drained and are collected', async () => {
      await paas.paas(['images:gc'])
      return trees().length === 5
    })
    const [shop] = JSON.parse((await paas.paas(['disk', '--json'])).stdout).apps
    expect(shop.layers).toBeGreaterThan(8 * mebibyte)
    expect(shop.layers).toBeLessThan(10 * mebibyte)
    const back = await paas.ssh(['releases:rollback', 'shop', 'v4'])
    expect(back.code).toBe(0)
    expect((await paas.get('shop')).body).toBe('v3')
  })
})

function daysAgo(days: number): [Date, Date] {
  const then = new Date(Date.now() - days * 24 * 60 * 60 * 1000)
  return [then, then]
}
