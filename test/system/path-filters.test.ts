import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeApp, type Paas, startPaas } from './instance.ts'

let paas: Paas
beforeAll(async () => {
  paas = await startPaas()
  const files = { 'README.md': 'one', 'web/index.html': 'first', 'api/a.txt': 'first' }
  await paas.push('site', await paas.tree('mono', files))
})
afterAll(() => paas[Symbol.asyncDispose]())

const releases = async (app: string): Promise<{ release: string }[]> =>
  JSON.parse((await paas.ssh(['releases', app, '--json'])).stdout)
const newest = async (app: string) => (await releases(app))[0]?.release

test('An app in a folder of a repository, which only changes of its paths deploy', async () => {
  expect((await paas.ssh(['git:set', 'site', 'app-dir', 'web/'])).code).toBe(0)
  const moved = await paas.push('site', await paas.tree('mono', { 'README.md': 'two' }))
  expect([moved.code, moved.out]).toEqual([0, expect.stringContaining('index.html in web/')])
  expect((await paas.get('site')).body).toBe('first')

  const set = await paas.ssh(['git:set', 'site', 'paths', 'web/', "'lib/*.txt'", "'!web/*.md'"])
  expect([set.code, set.stdout]).toEqual([0, expect.stringContaining('web/ lib/*.txt !web/*.md')])
  const version = await newest('site')
  const others = { 'api/a.txt': 'second', 'web/notes.md': 'new', 'lib/a.json': '{}' }
  const other = await paas.push('site', await paas.tree('mono', others))
  expect(other.code).toBe(0)
  expect(other.out).toContain(`Nothing that site reads (web/ lib/*.txt !web/*.md) has changed`)
  expect(other.out).toContain('since v1: not deployed')
  expect(other.out).not.toMatch(/Building|Application deployed/)
  expect(await newest('site')).toBe(version)
  const [build] = JSON.parse((await paas.ssh(['builds', 'site', '--json'])).stdout)
  expect(build).toMatchObject({ status: 'cancelled', error: expect.stringContaining('Nothing') })

  const lib = await paas.push('site', await paas.tree('mono', { 'lib/a.txt': 'counts' }))
  expect(lib.out).toContain('Application deployed')
  const own = await paas.push('site', await paas.tree('mono', { 'web/index.html': 'second' }))
  expect(own.out).toContain('Application deployed')
  expect((await paas.get('site')).body).toBe('second')
}, 120_000)

test('Changes pushed while nothing was deployed count with the next push', async () => {
  const back = await paas.push('site', await paas.tree('mono', { 'web/index.html': 'third' }), [
    'HEAD:refs/heads/other',
  ])
  expect(back.out).toContain('is stored, not deployed')
  const push = await paas.push('site', await paas.tree('mono', { 'api/a.txt': 'third' }))
  expect(push.out).toContain('Application deployed')
  expect((await paas.get('site')).body).toBe('third')
}, 120_000)

test('paas.toml says the same, and its own change counts', async () => {
  const toml = 'paths = ["*.js", "package.json"]\n'
  const files = { ...nodeApp('one'), 'paas.toml': toml, 'docs/a.md': 'one' }
  expect((await paas.push('toml', await paas.tree('toml', files))).code).toBe(0)
  const docs = await paas.push('toml', await paas.tree('toml', { 'docs/a.md': 'two' }))
  expect(docs.out).toContain('Nothing that toml reads (*.js package.json) has changed since v1')
  const changed = { 'paas.toml': 'paths = ["*.js"]\n' }
  const own = await paas.push('toml', await paas.tree('toml', changed))
  expect(own.out).toContain('Application deployed')
  const wrong = await paas.push('toml', await paas.tree('toml', { 'paas.toml': 'paths = "a"\n' }))
  expect(wrong.out).toContain('paas.toml line 1: "paths" is not a list of at most 100 paths')
}, 120_000)

test('The folder that paas.toml names counts also where the owner has set the paths', async () => {
  const files = { 'paas.toml': 'app_dir = "web"\n', 'web/index.html': 'first', 'a.txt': 'first' }
  expect((await paas.push('both', await paas.tree('both', files))).code).toBe(0)
  expect((await paas.ssh(['git:set', 'both', 'paths', 'lib/'])).code).toBe(0)
  const other = await paas.push('both', await paas.tree('both', { 'a.txt': 'second' }))
  expect(other.out).toContain('Nothing that both reads (lib/) has changed since v1')
  const own = await paas.push('both', await paas.tree('both', { 'web/index.html': 'second' }))
  expect(own.out).toContain('Application deployed')
  expect((await paas.get('both')).body).toBe('second')
}, 120_000)

test('What is set is shown, taken back, and refused when it is no path', async () => {
  const report = await paas.ssh(['git:report', 'site', '--json'])
  expect(JSON.parse(report.stdout)).toMatchObject({ deployBranch: 'main', appDir: 'web' })
  for (const bad of ['../x', '/', '!']) {
    expect((await paas.ssh(['git:set', 'site', 'paths', bad])).code).toBe(2)
  }
  expect((await paas.ssh(['git:set', 'site', 'app-dir', '../x'])).code).toBe(2)
  expect((await paas.ssh(['git:set', 'site', 'nothing'])).code).toBe(2)
  expect((await paas.ssh(['git:set', 'site', 'app-dir', 'a', 'b'])).code).toBe(2)
  for (const bad of [['a.lock/b'], ['feature/.x'], ['a', 'b']]) {
    expect((await paas.ssh(['git:set', 'site', 'deploy-branch', ...bad])).code).toBe(2)
  }
  expect((await paas.ssh(['git:report', 'site', '--json'])).stdout).toBe(report.stdout)
  await paas.ssh(['git:set', 'site', 'paths'])
  const push = await paas.push('site', await paas.tree('mono', { 'api/a.txt': 'fourth' }))
  expect(push.out).toContain('Application deployed')
}, 120_000)
