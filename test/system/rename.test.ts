import { lstatSync, readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { paths } from '../../core/names.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'
import { startLoad } from './load.ts'

const domain = 'www.shop.example'

describe('apps:rename', () => {
  let paas: Paas
  let dir: string
  beforeAll(async () => {
    paas = await startPaas()
    dir = await paas.tree('shop', nodeApp('one', { before: 'console.log("words of one")' }))
    await paas.push('shop', dir)
    await paas.ssh(['domains:add', 'shop', domain])
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const exists = async (app: string) => (await paas.ssh(['apps:exists', app])).code === 0

  /** Names of an app's directories, with `@` where only a link stands. */
  function names(): string[] {
    const { repo, logs, buildCache } = paths(paas.config)
    const folders = [repo, logs, buildCache].map((place) => dirname(place('x')))
    return folders
      .flatMap((folder) =>
        readdirSync(folder, { withFileTypes: true })
          .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
          .map((entry) => entry.name.replace('.git', '') + (entry.isSymbolicLink() ? '@' : '')),
      )
      .sort()
  }

  test('takes all that belongs to an app along, and loses no request of its domains', async () => {
    await paas.ssh(['config:set', 'shop', 'A=kept'])
    await paas.ssh(['storage:create', 'files'])
    await paas.ssh(['storage:mount', 'shop', 'files:/app/files'])
    await paas.ssh(['cron:add', 'shop', '0', '0', '1', '1', "'*'", 'node', 'x.js'])
    await paas.paas(['logs:drain', 'add', 'shop', 'https://127.0.0.1:9/'])
    await paas.ssh(['checks:set', 'shop', 'drain=2'])
    await paas.ssh(['run:detached', 'shop', 'sh', '-c', "'echo early; sleep 1000'"])
    const follower = paas.ssh(['run', 'shop', 'sleep', '5']) // it ends under the new name
    const before = JSON.parse((await paas.ssh(['releases', 'shop', '--json'])).stdout)
    const load = startLoad({
      port: paas.config.httpPort,
      host: domain,
      perSecond: 100,
      keepAlive: true,
    })
    const renamed = await paas.ssh(['apps:rename', 'shop', 'store'])
    expect([renamed.code, renamed.out]).toEqual([
      0,
      expect.stringContaining('Renamed shop to store'),
    ])
    expect(renamed.stdout).toContain('git remote set-url paas paas:store')
    await pause(500)
    const { sent, lost } = await load.stop()
    expect([sent > 50, lost]).toEqual([true, []])

    expect((await paas.get('store')).body).toBe('one')
    expect((await paas.get('shop')).status).toBe(404)
    expect(await exists('shop')).toBe(false)
    const environment = JSON.parse((await paas.get('store', '/env')).body)
    expect(environment).toMatchObject({ A: 'kept', PAAS_APP: 'store' })
    const releases = JSON.parse((await paas.ssh(['releases', 'store', '--json'])).stdout)
    expect(releases).toHaveLength(Math.min(5, before.length + 1))
    expect(JSON.stringify(releases[0])).toContain('Rename shop to store')
    const shown = async (...words: string[]) => (await paas.ssh(words)).stdout
    expect(await shown('domains:report', 'store')).toContain(domain)
    expect(await shown('storage:list')).toContain('store files:/app/files')
    expect(await shown('cron:list', 'store')).toContain('node x.js')
    expect(await shown('logs:drain', 'list', 'store')).toContain('https://127.0.0.1:9/')
    expect(await shown('checks:report', 'store', '--json')).toContain('"drain": 2')
    expect(await shown('events', 'store')).toContain('Renamed shop to store')
    expect(await shown('events', '--global')).toContain('Renamed shop to store')
    expect(await shown('logs', 'store', '-n', '500')).toMatch(/build\.1: -----> Building shop/)
    expect(await shown('logs', 'store', '-n', '500')).toMatch(/words of one/)
    expect(await shown('run:list', 'store')).toMatch(/run\.1 +running/)
    expect((await follower).code).toBe(0)
    expect((await paas.ssh(['run:stop', 'store', 'run.1'])).code).toBe(0)
    expect(await shown('logs', 'store', '-p', 'run.1')).toMatch(/early/)
    // Not only when all is looked at again, every 30 s.
    await until('the old name is forgotten', () => !names().join().includes('shop'), 10_000)
    expect((await paas.push('store', dir)).code).toBe(0)
    expect(names().filter((name) => name !== 'store')).toEqual([])
  })

  test('of an app that runs nothing is no release', async () => {
    await paas.ssh(['apps:create', 'empty'])
    expect((await paas.ssh(['apps:rename', 'empty', 'void'])).code).toBe(0)
    expect([await exists('empty'), await exists('void')]).toEqual([false, true])
    expect((await paas.get('void')).status).toBe(503)
    expect((await paas.push('void', dir)).code).toBe(0)
    expect((await paas.get('void')).body).toBe('one')
    await paas.ssh(['apps:destroy', 'void', '--force'])
  })

  test('is refused for names that are taken or none', async () => {
    await paas.ssh(['apps:create', 'other'])
    for (const [name, code] of [
      ['other', 1],
      ['store', 1],
      ['Other', 2],
      ['-x', 2],
    ] as const) {
      expect([name, (await paas.ssh(['apps:rename', 'store', name])).code]).toEqual([name, code])
    }
    expect((await paas.ssh(['apps:rename', 'shpo', 'x'])).code).toBe(20)
    await paas.ssh(['apps:destroy', 'other', '--force'])
    expect((await paas.get('store')).body).toBe('one')
  })

  test('that fails changes nothing', async () => {
    const picky = nodeApp('picky', {
      before: 'if (process.env.PAAS_APP !== "picky") { console.log("not me"); process.exit(3) }',
    })
    await paas.push('picky', await paas.tree('picky', picky))
    const failed = await paas.ssh(['apps:rename', 'picky', 'choosy'])
    expect([failed.code, failed.out]).toEqual([1, expect.stringContaining('not me')])
    expect((await paas.get('picky')).body).toBe('picky')
    expect([await exists('picky'), await exists('choosy')]).toEqual([true, false])
    expect((await paas.get('choosy')).status).toBe(404)
    expect(names().filter((name) => /choosy|@/.test(name))).toEqual([])
    expect((await paas.ssh(['ps:why', 'picky'])).stdout).toContain('exited with code 3')
    expect((await paas.push('picky', await paas.tree('picky', picky))).code).toBe(0)
    await paas.ssh(['apps:destroy', 'picky', '--force'])
  })

  test('whose daemon is killed at any moment is done or undone, and loses no request', async () => {
    let name = 'store'
    const load = startLoad({
      port: paas.config.httpPort,
      host: domain,
      perSecond: 50,
      keepAlive: false,
    })
    for (const [round, delayMs] of [0, 60, 120, 180, 250, 400].entries()) {
      const next = `store-${round}`
      const renaming = paas.ssh(['apps:rename', name, next])
      await pause(delayMs)
      await paas.killDaemon()
      await renaming
      await paas.startDaemon()
      const both = [await exists(name), await exists(next)]
      expect(both.filter(Boolean)).toHaveLength(1)
      const gone = both[0] ? next : name
      name = both[0] ? name : next
      await until('it serves under its one name', async () => {
        return (await paas.get(name)).body === 'one' && (await paas.get(gone)).status === 404
      })
      await until('one name is left', () => names().every((one) => one === name), 60_000)
      expect(lstatSync(paths(paas.config).repo(name)).isDirectory()).toBe(true)
    }
    const { lost } = await load.stop()
    expect(lost).toEqual([])
    expect((await paas.push(name, dir)).code).toBe(0)
    const ps = JSON.parse((await paas.ssh(['ps', name, '--json'])).stdout)
    expect(ps.filter(({ state }: { state: string }) => state === 'running')).toHaveLength(1)
  }, 240_000)
})
