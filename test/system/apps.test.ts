import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { paths } from '../../core/names.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

const page = '<!doctype html><title>Back soon</title><p>Grüße, back at 5.\n'

describe('apps', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
    await paas.ssh(['domains:add', 'shop', 'www.shop.example'])
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  test('exist or do not, by exit status', async () => {
    expect((await paas.ssh(['apps:exists', 'shop'])).code).toBe(0)
    const no = await paas.ssh(['apps:exists', 'shpo'])
    expect([no.code, no.stderr]).toEqual([20, expect.stringContaining('Did you mean "shop"?')])
  })

  test('have their own name already: it is not added, and no change', async () => {
    const own = `shop.${paas.config.domain}`
    const { code, stdout } = await paas.ssh(['domains:add', 'shop', own])
    expect([code, stdout]).toEqual([0, `       ${own} leads to shop already\n`])
    expect((await paas.ssh(['events', 'shop'])).stdout).not.toContain(`Added ${own}`)
  })

  test('have exactly the domains that are set, but always their own name', async () => {
    const domains = async () => {
      const { stdout } = await paas.ssh(['domains:report', 'shop', '--json'])
      return JSON.parse(stdout).domains
    }
    const set = await paas.ssh(['domains:set', 'shop', 'new.example', 'www.shop.example'])
    expect([set.code, await domains()]).toEqual([0, ['new.example', 'www.shop.example']])
    expect((await paas.get('shop', '/', 'new.example')).body).toBe('shop')
    const international = ['domains:set', 'shop', 'www.shop.example', 'Grüße.example']
    expect((await paas.ssh(international)).stdout).toContain('new.example no longer leads to shop')
    expect(await domains()).toEqual(['www.shop.example', 'xn--gre-6ka8l.example'])
    expect((await paas.get('shop', '/', 'new.example')).status).toBe(404)
    expect((await paas.get('shop', '/', 'xn--gre-6ka8l.example')).body).toBe('shop')
    expect((await paas.ssh(['domains:set', 'shop', 'ok.example', 'b_d'])).code).toBe(2)
    expect((await paas.ssh(['domains:clear', 'shop'])).code).toBe(0)
    expect(await domains()).toEqual([])
    expect((await paas.get('shop', '/', 'www.shop.example')).status).toBe(404)
    const own = await paas.ssh(['domains:remove', 'shop', `shop.${paas.config.domain}`])
    expect([own.code, own.stderr]).toEqual([1, expect.stringContaining('goes with shop')])
    expect((await paas.get('shop')).body).toBe('shop')
    expect((await paas.ssh(['domains:add', 'shop', 'www.shop.example'])).code).toBe(0)
  })

  test('in maintenance answer 503 with a page while their processes keep running', async () => {
    const processes = async () =>
      (await paas.ssh(['ps', 'shop', '--json'])).stdout.replaceAll(/"seconds": \d+/g, '')
    const before = await processes()
    const caddy = reloads()
    expect((await paas.ssh(['maintenance:on', 'shop'])).code).toBe(0)
    for (const host of [undefined, 'www.shop.example']) {
      const answer = await paas.get('shop', '/any/path?x=1', host)
      expect(answer).toMatchObject({ status: 503, body: expect.stringContaining('in maintenance') })
      expect(answer.headers['content-type']).toContain('text/html')
      expect(answer.headers['retry-after']).toBe('60')
    }
    expect((await paas.ssh(['maintenance:on', 'shop', '--page'], page)).stdout).toContain('own')
    const own = await paas.get('shop')
    expect([own.status, own.body, own.headers['content-type']]).toEqual([
      503,
      page,
      'text/html; charset=utf-8',
    ])
    expect(await post(paas, 'shop')).toEqual({ status: 503, body: page })
    expect(await processes()).toBe(before)
    await paas.push('shop', await paas.tree('shop', nodeApp('newer')))
    expect((await paas.get('shop')).body).toBe(page)
    await paas.killDaemon()
    await paas.startDaemon()
    await paas.ssh(['ps:scale', 'shop', 'web=2'])
    expect((await paas.get('shop')).body).toBe(page)
    await paas.ssh(['domains:add', 'shop', 'two.shop.example'])
    expect((await paas.get('shop', '/', 'two.shop.example')).body).toBe(page)
    expect((await paas.ssh(['maintenance:report', 'shop', '--json'])).stdout).toContain('"own"')
    expect((await paas.ssh(['maintenance:off', 'shop'])).code).toBe(0)
    expect(await paas.get('shop')).toMatchObject({ status: 200, body: 'newer' })
    expect((await paas.get('shop', '/', 'www.shop.example')).body).toBe('newer')
    expect(reloads()).toBe(caddy)
    await paas.ssh(['ps:stop', 'shop'])
    expect((await paas.get('shop')).body).not.toBe(page) // it is stopped, not in maintenance
    await paas.ssh(['ps:start', 'shop'])
  })

  function reloads(): number {
    return paas.daemonLog().split('caddy-reloaded').length
  }

  test('that are locked take no push and no change until they are unlocked', async () => {
    expect((await paas.ssh(['apps:lock', 'shop'])).code).toBe(0)
    const push = await paas.push('shop', await paas.tree('shop', nodeApp('locked out')))
    expect([push.code === 0, push.out]).toEqual([
      false,
      expect.stringContaining('shop is locked by tester: it takes no push and no change'),
    ])
    for (const ref of ['HEAD:refs/heads/other', 'HEAD:refs/tags/v1']) {
      const other = await paas.push('shop', join(paas.base, 'shop'), [ref])
      expect([ref, other.out]).toEqual([ref, expect.stringContaining('shop is locked by tester')])
    }
    const calls = [
      ['config:set', 'shop', 'A=1'],
      ['config:set', 'shop', 'A=1', '--no-restart'],
      ['ps:scale', 'shop', 'web=1'],
      ['ps:restart', 'shop'],
      ['ps:stop', 'shop'],
      ['ps:pause', 'shop'],
      ['resource:limit', 'shop', '--cpu', '2'],
      ['releases:rollback', 'shop'],
      ['domains:add', 'shop', 'x.example'],
      ['domains:remove', 'shop', 'www.shop.example'],
      ['domains:clear', 'shop'],
      ['buildpacks:clear', 'shop'],
      ['git:set', 'shop', 'deploy-branch', 'other'],
      ['maintenance:on', 'shop'],
      ['cron:add', 'shop', '@daily', 'true'],
      ['builder:set', 'shop', 'node'],
      ['logs:limit', 'shop', '20m'],
      ['logs:drain', 'add', 'shop', 'http://127.0.0.1:9/'],
      ['apps:destroy', 'shop', '--force'],
    ]
    for (const call of calls) {
      const { code, stderr } = await paas.ssh(call)
      expect([call, code, stderr.includes('shop is locked by tester')]).toEqual([call, 1, true])
    }
    expect((await paas.ssh(['apps:info', 'shop'])).stdout).toMatch(/lockedBy: +tester/)
    expect((await paas.get('shop')).body).toBe('newer')
    expect((await paas.ssh(['apps:unlock', 'shop'])).code).toBe(0)
    expect((await paas.ssh(['config:set', 'shop', 'A=1'])).code).toBe(0)
  })

  test('whose destruction is cut off by a kill are gone all the same, with their files', async () => {
    const files = nodeApp('slow')
    files['server.js'] += `process.removeAllListeners('SIGTERM').on('SIGTERM', () => {})`
    await paas.push('slow', await paas.tree('slow', files))
    const destroying = paas.ssh(['apps:destroy', 'slow', '--force'])
    await until('it is gone from the list', async () => {
      return (await paas.paas(['apps:exists', 'slow'])).code === 20
    })
    await paas.killDaemon()
    await destroying
    await paas.startDaemon()
    const { repo, logs, bundles } = paths(paas.config)
    const records = () => readdirSync(bundles).map((id) => join(bundles, id, 'config.json'))
    await until('nothing of it runs', () => !records().some(isOfSlow))
    expect([existsSync(repo('slow')), existsSync(logs('slow'))]).toEqual([false, false])
  })

  test('are cloned with all that is set and with their cron jobs, but no domain and drain', async () => {
    await paas.push('full', await paas.tree('full', nodeApp('full')))
    const calls = [
      ['cron:add', '--timezone', 'Europe/Berlin', 'full', '@daily', 'true'],
      ['cron:add', 'full', '@hourly', 'false'],
      ['cron:suspend', 'full', 'cron.2'],
      ['storage:create', 'files'],
      ['storage:mount', 'full', 'files:/app/files'],
      ['checks:set', 'full', 'timeout=7', 'drain=1'],
      ['checks:disable', 'full', 'web'],
      ['resource:limit', 'full', '--process-type', 'web', '--pids', '99'],
      ['builder:set', 'full', 'base', 'registry.example.com/base:1'],
      ['builder:set', 'full', 'node'],
      ['buildpacks:set', 'full', 'https://example.com/pack.git'],
      ['git:set', 'full', 'app-dir', 'site'],
      ['git:set', 'full', 'paths', 'site/'],
      ['logs:limit', 'full', '9m'],
      ['config:set', 'full', 'A=later', '--no-restart'],
      ['domains:add', 'full', 'full.example'],
      ['apps:clone', 'full', 'twin'],
    ]
    for (const call of calls) {
      const { code, out } = await paas.ssh(call)
      expect([call, code, out]).toEqual([call, 0, out])
    }
    await paas.paas(['logs:drain', 'add', 'full', 'http://127.0.0.1:9/'])
    const told = async (app: string) => {
      const about = [
        'cron:list',
        'checks:report',
        'resource:report',
        'builder:report',
        'logs:limit',
      ]
      const more = ['buildpacks:list', 'git:report', 'config:show']
      const answers = [...about, ...more].map(async (name) => {
        return [name, (await paas.ssh([name, app])).stdout.replaceAll(app, 'APP')]
      })
      return Object.fromEntries(await Promise.all(answers))
    }
    const [full, twin] = [await told('full'), await told('twin')]
    const branch = /deploy-branch: +/ // its first push says it
    full['git:report'] = full['git:report'].replace(branch, '').replace('main', '-')
    expect({ ...twin, 'git:report': twin['git:report'].replace(branch, '') }).toEqual(full)
    expect(full['cron:list']).toMatch(/cron\.1 .*Europe\/Berlin.*cron\.2 .*suspended/s)
    const info = JSON.parse((await paas.ssh(['releases:info', 'twin', '--json'])).stdout)
    expect(JSON.stringify(info)).toContain('/app/files')
    expect((await paas.ssh(['domains:report', 'twin'])).stdout).not.toContain('full')
    expect((await paas.ssh(['logs:drain', 'list', 'twin', '--json'])).stdout).toBe('[]\n')
    await paas.ssh(['git:set', 'twin', 'app-dir'])
    await paas.ssh(['buildpacks:clear', 'twin'])
    await paas.ssh(['builder:set', 'twin', 'base'])
    const other = { ...nodeApp('twin'), 'README.md': 'of its own' }
    await paas.push('twin', await paas.tree('twin', other)) // the commit that runs is not there
    expect((await paas.get('twin')).body).toBe('twin')
  })

  test('are cloned with config, formation, limits and image as v1, or not at all', async () => {
    await paas.ssh(['resource:limit', 'shop', '--memory', '256m'])
    await paas.ssh(['ps:scale', 'shop', 'web=2'])
    const clone = await paas.ssh(['apps:clone', 'shop', 'copy'])
    expect([clone.code, clone.stdout]).toEqual([0, expect.stringContaining('Cloned shop to copy')])
    expect((await paas.get('copy')).body).toBe('newer')
    const environment: Record<string, string> = JSON.parse((await paas.get('copy', '/env')).body)
    expect(environment).toMatchObject({ A: '1', PAAS_APP: 'copy', PAAS_RELEASE: 'v1' })
    const info = JSON.parse((await paas.ssh(['releases:info', 'copy', '--json'])).stdout)
    expect(info).toMatchObject({
      release: 'v1',
      cause: 'Clone shop',
      formation: { web: 2 },
      limits: { memoryBytes: 256 * 1024 ** 2 },
    })
    expect((await paas.ssh(['apps:clone', 'shop', 'copy'])).stderr).toContain('exists already')
    await paas.ssh(['config:set', 'copy', 'A=2'])
    expect((await paas.ssh(['config:get', 'shop', 'A'])).stdout).toBe('1\n')
    await paas.push('copy', await paas.tree('copy', nodeApp('of its own')))
    expect((await paas.get('copy')).body).toBe('of its own')
    expect((await paas.get('shop')).body).toBe('newer')
    const files = nodeApp('picky', {
      before: 'if (process.env.PAAS_APP !== "picky") process.exit(3)',
    })
    await paas.push('picky', await paas.tree('picky', files))
    expect((await paas.ssh(['apps:clone', 'picky', 'half'])).code).toBe(1)
    expect((await paas.ssh(['apps:exists', 'half'])).code).toBe(20)
    expect((await paas.get('half')).status).toBe(404)
  })
})

function post(paas: Paas, app: string): Promise<{ status: number | undefined; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number | undefined
    body: string
  }>()
  const call = request({
    host: '127.0.0.1',
    port: paas.config.httpPort,
    method: 'POST',
    path: '/form',
    headers: { host: `${app}.${paas.config.domain}` },
  })
  call.on('error', reject).on('response', (response) => {
    let body = ''
    response.setEncoding('utf8').on('data', (text: string) => (body += text))
    response.on('end', () => resolve({ status: response.statusCode, body }))
  })
  call.end('a=1')
  return promise
}

/** The record of a container of the app `slow`; one that has just gone is not. */
function isOfSlow(file: string): boolean {
  try {
    return readFileSync(file, 'utf8').includes('PAAS_APP=slow')
  } catch {
    return false
  }
}
