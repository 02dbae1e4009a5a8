import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { unpack } from '../../builder/runtimes/npm-package.ts'
import { ensureStack } from '../../builder/stack/stack.ts'
import { apps, makeRepo, temporaryConfig, tryBuild } from './support.ts'

const temporary = temporaryConfig()
const { config } = temporary

beforeAll(async () => {
  await ensureStack(config, () => {})
}, 300_000)

afterAll(() => temporary[Symbol.asyncDispose]())

const manifest = (hash: string) =>
  JSON.stringify({
    packageManager: `yarn@1.22.22+${hash}`,
    scripts: { start: 'node server.js' },
    dependencies: { ms: '2.1.3' },
  })

const yarnHash =
  'sha512.a6b2f7906b721bba3d67d4aff083df04dad64c399707841b7acf00f6b133b7ac24255f2652fa22ae3534329dc6180534e98d17432037ff6fd140556e2bb3137e'

test('A package manager is what the hash in packageManager says', async () => {
  const repo = await makeRepo(config, 'hashed', join(apps, 'node-two-lockfiles'))
  const build = async (hash: string) => {
    const commit = await repo.commit({ 'package.json': manifest(hash) })
    return tryBuild(config, { ...commit, app: 'hashed', config: {} })
  }
  const good = await build(yarnHash)
  expect(good.lines).toContain(
    '       Yarn 1.22.22 (packageManager in package.json, with its hash)',
  )
  expect(good.error).toBeUndefined()
  const bad = await build(`sha512.${'0'.repeat(128)}`)
  expect(bad.lines.slice(-2)).toEqual([
    ' !     yarn@1.22.22 does not have the sha512 hash that it should have',
    ' !     packageManager in package.json says 0000000000000000…; it is a6b2f7906b721bba…',
  ])
}, 300_000)

test('An npm that package.json asks for takes the place of the one that came with Node', async () => {
  const packageJson = {
    packageManager: 'npm@10.9.4',
    scripts: { build: 'npm --version', start: 'node server.js' },
  }
  const repo = await makeRepo(config, 'npm-10')
  const commit = await repo.commit({ 'package.json': JSON.stringify(packageJson) })
  const { lines } = await tryBuild(config, { ...commit, app: 'npm-10', config: {} })
  expect(lines).toContain('       npm 10.9.4 (packageManager in package.json "10.9.4")')
  expect(lines).toContain('       10.9.4')
}, 120_000)

test('A package that is not what the server got before is refused', async () => {
  const cache = join(config.home, 'cache')
  const signal = new AbortController().signal
  const context = { config: { ...config, cache }, say: String, signal }
  const into = (name: string) => join(config.home, 'work', name)
  const known = join(cache, 'versions/hashes/ms-2.1.3.tgz.json')
  const atOnce = ['ms-first', 'ms-second'].map((name) => unpack('ms@2.1.3', into(name), context))
  await Promise.all(atOnce)
  const pin = readFileSync(known, 'utf8')
  expect(readdirSync(dirname(known))).toEqual([basename(known)])
  writeFileSync(known, '') // as a full disk once left it
  await unpack('ms@2.1.3', into('ms-again'), context)
  expect(readFileSync(known, 'utf8')).toBe(pin)
  writeFileSync(known, '{"sha512": "0"}')
  await expect(unpack('ms@2.1.3', into('ms-third'), context)).rejects.toThrow(
    'ms-2.1.3.tgz is not the file that this server got before',
  )
}, 60_000)

test('A version that was never published is refused, with those that can be had', async () => {
  const repo = await makeRepo(config, 'never', join(apps, 'node-pnpm'))
  const packageJson = readFileSync(join(repo.dir, 'package.json'), 'utf8')
  const asked = packageJson.replace('"private"', '"packageManager": "pnpm@10.999.0", "private"')
  const commit = await repo.commit({ 'package.json': asked })
  const { lines } = await tryBuild(config, { ...commit, app: 'never', config: {} })
  expect(lines.slice(-3)).toEqual([
    ' !     No pnpm version satisfies packageManager "10.999.0" in package.json',
    expect.stringMatching(/^ !     Available: .*10\.\d+\.\d+/),
    ' !     To choose: "packageManager": "pnpm@<version>" in package.json',
  ])
}, 60_000)

test('A yarn.lock that does not fit package.json is refused, though focus would not look', async () => {
  const repo = await makeRepo(config, 'stale', join(apps, 'node-yarn-pnp'))
  const packageJson = readFileSync(join(repo.dir, 'package.json'), 'utf8')
  const commit = await repo.commit({ 'package.json': packageJson.replace('2.1.3', '2.1.2') })
  const { lines, image } = await tryBuild(config, { ...commit, app: 'stale', config: {} })
  expect(image).toBeUndefined()
  expect(lines).toContain('       yarn.lock does not fit package.json')
  expect(lines.at(-1)).toContain('If yarn.lock is out of date')
}, 120_000)

test('A build that makes no files to serve is a failure', async () => {
  const repo = await makeRepo(config, 'empty', join(apps, 'node-vite'))
  const packageJson = readFileSync(join(repo.dir, 'package.json'), 'utf8')
  const nothing = packageJson.replace('"vite build"', '"true vite build"')
  const commit = await repo.commit({ 'package.json': nothing })
  const { lines } = await tryBuild(config, { ...commit, app: 'empty', config: {} })
  expect(lines).toContain('       The build made no site/')
  expect(lines.at(-2)).toContain('"npm run build" exited with 1')
}, 120_000)
