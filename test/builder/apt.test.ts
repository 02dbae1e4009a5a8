import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AptLayer, aptLayer, ensureApt } from '../../builder/stack/apt.ts'
import { aptIndex } from '../../builder/stack/apt-index.ts'
import { ensureStack, stackLayers } from '../../builder/stack/stack.ts'
import { upstreamVersion } from '../../builder/runtimes/tools.ts'
import { failureLines } from '../../core/errors.ts'
import { newId, paths } from '../../core/names.ts'
import { makeRepo, sample, temporaryConfig, tryBuild } from './support.ts'
import { until } from './serving.ts'

const temporary = temporaryConfig()
const { config } = temporary
const { run } = stackLayers(config)
const say = () => {}
const { signal } = new AbortController()

beforeAll(async () => {
  await ensureStack(config, say)
}, 300_000)

afterAll(() => temporary[Symbol.asyncDispose]())

test('A layer of packages is named by its stack, the packages in any order, and versions', () => {
  expect(keyOf([run], ['b1', 'a1', 'b1'])).toBe(keyOf([run], ['a1', 'b1']))
  expect(keyOf([run], ['a1'], ['python 3.13.5'])).not.toBe(keyOf([run], ['a1'], ['python 3.13.6']))
  expect(keyOf([run], ['a1'])).not.toBe(keyOf([stackLayers(config).build], ['a1']))
  expect(aptLayer([run], [])).toBeUndefined()
})

test.each(['-oAPT::x=y', 'a=1', 'a/b', 'A', '', 'x'.repeat(200)])(
  'Package name %j is refused',
  (name) => expect(() => aptLayer([run], [name])).toThrow('is not the name of a Debian package'),
)

test.each([
  ['3.13.5-1', '3.13.5'],
  ['2:1.24~2', '1.24.0'],
  ['1:3.3+b1', '3.3.0'],
  ['', undefined],
])('Debian version %j is %j upstream', (debian, upstream) => {
  expect(upstreamVersion(debian)).toBe(upstream)
})

test('Package lists are read once a day and know versions and names nearby', async () => {
  const index = await aptIndex(config, { say, signal })
  expect(index.version('python3')).toMatch(/^3\.\d+\.\d+/)
  expect(index.version('no-such-package')).toBeUndefined()
  expect(index.near('imagemagik')).toContain('imagemagick')
  const said: string[] = []
  await aptIndex(config, { say: (line) => said.push(line), signal })
  expect(said).toEqual([])
}, 300_000)

test('A package that does not exist is named, with those that are near', async () => {
  const repo = await makeRepo(config, 'near', sample)
  const commit = await repo.commit({ 'paas.toml': 'apt = ["imagemagik"]\n' })
  const { lines } = await tryBuild(config, { ...commit, app: 'near', config: {} })
  const at = lines.indexOf(' !     imagemagik is no package of Debian trixie')
  expect(lines[at + 1]).toMatch(/^ !     Near it: .*imagemagick/)
}, 300_000)

test('The packages a user asks for lie on the stack, without lists, archives or services', async () => {
  const repo = await makeRepo(config, 'asked', sample)
  const commit = await repo.commit({ 'paas.toml': 'apt = ["sl"]\n' })
  const { image, error } = await tryBuild(config, { ...commit, app: 'asked', config: {} })
  expect(error).toBeUndefined()
  const kinds = image?.layers.map(({ kind }) => kind)
  expect(kinds).toEqual(['stack', 'apt', 'runtime', 'app'])
  const layer = image?.layers.find(({ kind }) => kind === 'apt')
  expect(layer?.packages).toEqual(['sl'])
  const dir = paths(config).layer(layer ?? run)
  expect(existsSync(join(dir, 'usr/games/sl'))).toBe(true)
  expect(readFileSync(join(dir, 'var/lib/dpkg/status'), 'utf8')).toContain('Package: sl\n')
  for (const left of ['usr/sbin/policy-rc.d', 'var/lib/apt/lists', 'var/cache/apt', 'tmp', 'dev']) {
    expect(existsSync(join(dir, left))).toBe(false)
  }
  expect(mounts()).not.toContain('.chroot')
}, 300_000)

test('A cancelled install leaves no process, no mount and no layer', async () => {
  // A mark of its own, so that no other run of this test has made the layer already.
  const apt = aptLayer([run], ['emacs-nox'], [newId()])
  if (!apt) throw new Error('no layer')
  const controller = new AbortController()
  const outcome = installed(apt, controller.signal)
  const making = join(paths(config).sharedMaking, apt.layer.key)
  await until(async () => existsSync(`${making}.chroot/archives`))
  controller.abort()
  expect(await outcome).toEqual([' !     Cancelled'])
  expect(existsSync(paths(config).layer(apt.layer))).toBe(false)
  const left = readdirSync(paths(config).sharedMaking)
  expect(left.filter((name) => name.startsWith(apt.layer.key))).toEqual([])
  expect(mounts()).not.toContain(apt.layer.key)
  rmSync(join(paths(config).locks, apt.layer.key)) // nobody else will ask for it
}, 300_000)

function keyOf(...args: Parameters<typeof aptLayer>): string | undefined {
  return aptLayer(...args)?.layer.key
}

async function installed(apt: AptLayer, aborted: AbortSignal): Promise<string[]> {
  try {
    await ensureApt(config, apt, { say, signal: aborted })
    return []
  } catch (error) {
    return failureLines(error)
  }
}

function mounts(): string {
  return readFileSync('/proc/self/mounts', 'utf8')
}
