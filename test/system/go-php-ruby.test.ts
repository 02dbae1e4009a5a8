import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Paas, startPaas } from './instance.ts'

let paas: Paas
beforeAll(async () => {
  // Toolchains are made once per host, which may be now.
  paas = await startPaas({ PAAS_GO_MIRROR: 'off' })
}, 300_000)
afterAll(() => paas[Symbol.asyncDispose]())

const timeout = 900_000

/** A copy of a tree of test/apps, with more files, committed. */
async function app(name: string, files: Record<string, string> = {}): Promise<string> {
  const dir = await paas.tree(name, {})
  await cp(join(import.meta.dirname, '../apps', name), dir, { recursive: true })
  return paas.tree(name, files)
}

test(
  'A Go program is built and runs without its toolchain',
  async () => {
    const first = await paas.push('go-module', await app('go-module'))
    expect([first.code, first.out]).toEqual([0, expect.stringContaining('-----> Go detected')])
    expect(first.out).toMatch(/Go 1\.\d+\.\d+ \(go "1\.22" in go\.mod\)/)
    expect((await paas.get('go-module')).body).toBe('hello from linux\n')
    const tools = await paas.ssh(['run', 'go-module', 'ls', '/usr/lib'])
    expect(tools.stdout).not.toMatch(/^go-/m)

    const second = await paas.push('go-module', await app('go-module', { 'greeting.txt': 'bye' }))
    expect(second.out).not.toContain('apt: installing')
    expect((await paas.get('go-module')).body).toBe('bye from linux\n')
  },
  timeout,
)

test(
  'A Go program with its packages in vendor/ is built from them',
  async () => {
    const push = await paas.push('go-vendored', await app('go-vendored'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('web: bin/server')])
    expect((await paas.get('go-vendored')).body).toBe('hello, vendored\n')
  },
  timeout,
)

test(
  'A Go that the suite has not is refused, with the one that it has',
  async () => {
    const push = await paas.push('go-impossible-version', await app('go-impossible-version'))
    expect(push.code).not.toBe(0)
    expect(push.out).toContain('No Go version satisfies go "1.99" in go.mod')
    expect(push.out).toContain('Beyond Debian: Go is taken from Debian alone')
    expect(push.out).toMatch(/Available: 1\.\d+/)
  },
  timeout,
)

test(
  'Bare PHP is served as it lies, and what is not there is not found',
  async () => {
    const push = await paas.push('php-bare', await app('php-bare'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('web: php-web')])
    const front = await paas.get('php-bare')
    expect(front).toMatchObject({ status: 200, body: 'hello from PHP\n' })
    expect(front.headers).not.toHaveProperty('x-powered-by')
    expect((await paas.get('php-bare', '/about.php')).body).toBe('about\n')
    expect((await paas.get('php-bare', '/style.css')).body).toContain('teal')
    for (const path of ['/missing', '/missing.php', '/.env', '/lib/']) {
      expect([path, (await paas.get('php-bare', path)).status]).toEqual([path, 404])
    }
  },
  timeout,
)

test(
  'PHP with Composer installs by the lockfile, builds, and serves public/ by its front page',
  async () => {
    const push = await paas.push('php-composer', await app('php-composer'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('composer install --no-dev')])
    expect((await paas.get('php-composer', '/some/page')).body).toBe(
      'hello, packaged at /some/page, compiled\n',
    )
    expect((await paas.get('php-composer', '/file.txt')).body).toBe('public, as it is\n')
    expect((await paas.get('php-composer', '/made.txt')).body).toBe('made by Node\n')
    const again = await paas.push('php-composer', await app('php-composer', { 'a.txt': 'a' }))
    expect(again.out).toContain('dependencies: re-used (composer.lock unchanged)')
  },
  timeout,
)

test(
  'Ruby with Bundler has the gems of its lockfile, without those for development',
  async () => {
    const push = await paas.push('ruby-bundler', await app('ruby-bundler'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('-----> bundle install')])
    expect((await paas.get('ruby-bundler')).body).toBe('hello from Ruby with gems\n')
    const again = await paas.push('ruby-bundler', await app('ruby-bundler', { 'a.txt': 'a' }))
    expect(again.out).toContain('dependencies: re-used (Gemfile.lock unchanged)')
  },
  timeout,
)

test(
  'Rails makes its assets with Node beneath, and keeps what it compiled between builds',
  async () => {
    const push = await paas.push('ruby-rails-assets', await app('ruby-rails-assets'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('rake assets:precompile')])
    const body = async () => (await paas.get('ruby-rails-assets')).body
    expect(await body()).toBe('assets:precompile 1\nbundled by Node')
    await paas.push('ruby-rails-assets', await app('ruby-rails-assets', { 'a.txt': 'a' }))
    expect(await body()).toBe('assets:precompile 2\nbundled by Node')
    const left = await paas.ssh(['run', 'ruby-rails-assets', 'ls', '-a', '.', 'tmp'])
    expect(left.stdout).not.toMatch(/node_modules|cache/)
  },
  timeout,
)

test(
  'A config.ru alone runs on the Rack and Puma of Debian',
  async () => {
    const push = await paas.push('ruby-rack', await app('ruby-rack'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('web: puma')])
    expect((await paas.get('ruby-rack', '/here')).body).toBe('hello from Rack at /here\n')
  },
  timeout,
)

test(
  'A shell script starts an app, with the packages of Debian that it asks for',
  async () => {
    const push = await paas.push('shell-start', await app('shell-start'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('-----> Shell detected')])
    expect((await paas.get('shell-start')).body).toBe('hello from a shell script\n')
  },
  timeout,
)

test(
  'A Procfile alone starts what is in the tree',
  async () => {
    const push = await paas.push('procfile-only', await app('procfile-only'))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('web: perl serve.pl')])
    expect((await paas.get('procfile-only')).body).toBe('hello from Perl')
  },
  timeout,
)

test(
  'A static site has the routes, redirects, headers and the error page of static.json',
  async () => {
    const push = await paas.push('static-rules', await app('static-rules'))
    expect(push.code).toBe(0)
    const get = (path: string) => paas.get('static-rules', path)
    expect((await get('/')).headers).toMatchObject({
      'content-security-policy': `default-src 'self'; report-to {"a":1}`,
    })
    expect((await get('/shop/any/thing')).body).toContain('shop')
    expect((await get('/shop/real.txt')).body).toBe('real\n')
    expect(await get('/old')).toMatchObject({ status: 302, headers: { location: '/new?from=old' } })
    expect(await get('/gone/')).toMatchObject({ status: 301, headers: { location: '/' } })
    expect(await get('/missing')).toMatchObject({ status: 404, body: '<h1>not here</h1>\n' })
  },
  timeout,
)
