import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureStack } from '../../builder/stack/stack.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Image } from '../../core/types.ts'
import { makeRepo, temporaryConfig, tryBuild } from './support.ts'

const temporary = temporaryConfig()
const { config } = temporary

beforeAll(async () => {
  await ensureStack(config, () => {})
}, 300_000)
afterAll(async () => temporary[Symbol.asyncDispose]())

const known = {
  ms: {
    version: '2.1.3',
    integrity:
      'sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==',
  },
  'escape-html': {
    version: '1.0.3',
    integrity:
      'sha512-NiSupZ4OeuGwr68lGIeym/ksIZMJodUGOSCZ/FSnTxcrekbvqrgdUxlJOMpijaKZVjAJrWrGs/6Jy8OMuyj9ow==',
  },
}

/** A Node app with these packages by a lockfile that has their hashes, and a build script. */
function app(names: (keyof typeof known)[], script: string, more: Record<string, unknown> = {}) {
  const dependencies = Object.fromEntries(names.map((name) => [name, known[name].version]))
  const packages = {
    '': { dependencies },
    ...Object.fromEntries(
      names.map((name) => [`node_modules/${name}`, { ...known[name], ...more }]),
    ),
  }
  return {
    'package.json': JSON.stringify({
      dependencies,
      scripts: { start: 'node a.js', build: script },
    }),
    'package-lock.json': JSON.stringify({ lockfileVersion: 3, packages }, null, 2),
  }
}

/** Tries all that it can reach: the app's own cache, the tools, the system, the packages. */
const poison = `
cd "$npm_config_cache/_cacache" && find content-v2 -type f > /app/seen
find content-v2 -type f -exec sh -c 'chmod u+w "$1"; echo POISON > "$1"' sh {} \\;
for dir in /usr/local/bin /usr/local/lib/node_modules/npm /usr/bin /etc /var/lib /var/cache; do
  echo POISON > "$dir/poisoned" && echo "$dir" >> /app/written
done
echo POISON > /app/node_modules/ms/index.js; true`

async function build(name: string, files: Record<string, string>) {
  const repo = await makeRepo(config, `${name}-${Math.random()}`)
  const request = {
    ...(await repo.commit({ ...files, 'build.sh': poison })),
    app: name,
    config: {},
  }
  const { image, error, lines } = await tryBuild(config, request)
  if (!image) throw error
  return { image, lines }
}

const filesOf = (image: Image, kind: string) => {
  const layer = image.layers.find((one) => one.kind === kind)
  if (!layer) throw new Error(`no layer of kind ${kind}`)
  return join(paths(config).layer(layer), 'app')
}

test('What a build does to its cache reaches no layer that another app has', async () => {
  const first = await build('poisoner', app(['ms'], 'sh build.sh'))
  expect(readFileSync(join(filesOf(first.image, 'build'), 'seen'), 'utf8')).toContain('content-v2')

  const second = await build('poisoner', app(['ms', 'escape-html'], 'true'))
  expect(second.lines).toContain('-----> npm ci --omit=dev')
  const victim = await build('victim', app(['ms', 'escape-html'], 'true'))
  expect(victim.lines).toContain('       dependencies: re-used (package-lock.json unchanged)')
  const packages = filesOf(victim.image, 'dependencies')
  const found = await exec('grep', ['-rl', 'POISON', packages], { accept: [1] })
  expect(found.stdout).toBe('')
  const main = readFileSync(join(packages, 'node_modules/ms/index.js'), 'utf8')
  expect(main).toContain('Helpers')
}, 300_000)

test('Nor does what it writes anywhere else: the next build finds all as it was', async () => {
  const look = `find /usr/local /usr/bin /etc /var/lib /var/cache -name poisoned > found
grep -rlx POISON /app/node_modules >> found; true`
  const { image } = await build('other', app(['ms'], look))
  expect(readFileSync(join(filesOf(image, 'build'), 'found'), 'utf8')).toBe('')
}, 300_000)

test('Nor does what is dropped after it, when its links lead to the host', async () => {
  const host = join(config.home, 'host')
  for (const dir of ['cache', '.cache']) mkdirSync(join(host, dir), { recursive: true })
  for (const file of ['cache/kept', '.cache/kept']) writeFileSync(join(host, file), 'kept')
  const mine = 'mkdir -p .turbo && echo mine > .turbo/mine'
  const links = `rm -rf .next node_modules; ln -s ${host} .next; ln -s .next node_modules`
  const { image } = await build('linker', app(['ms'], `${mine}; ${links}`))
  expect(readFileSync(join(host, 'cache/kept'), 'utf8')).toBe('kept')
  expect(readFileSync(join(host, '.cache/kept'), 'utf8')).toBe('kept')
  expect(readlinkSync(join(filesOf(image, 'build'), '.next'))).toBe(host)
  expect(existsSync(join(filesOf(image, 'build'), '.turbo'))).toBe(false)
}, 300_000)

const keyOf = ({ image }: { image: Image }) =>
  image.layers.find(({ kind }) => kind === 'dependencies')?.key

/** A manager that runs scripts at install cannot vouch for what it takes from its cache. */
test('A layer that scripts may have touched on its way is the app’s alone', async () => {
  const scripts = { hasInstallScript: true }
  const make = (name: string, names: (keyof typeof known)[], script: string) =>
    build(name, app(names, script, scripts))

  const first = await make('scripted', ['ms'], 'sh build.sh')
  const second = await make('scripted', ['ms', 'escape-html'], 'true')
  expect(readFileSync(join(filesOf(first.image, 'build'), 'seen'), 'utf8')).toContain('content-v2')
  const victim = await make('bystander', ['ms', 'escape-html'], 'true')
  expect(victim.lines).toContain('-----> npm ci --omit=dev')
  expect(keyOf(victim)).not.toBe(keyOf(second))
  const found = await exec('grep', ['-rl', 'POISON', filesOf(victim.image, 'dependencies')], {
    accept: [1],
  })
  expect(found.stdout).toBe('')

  const late = await make('late', ['ms', 'escape-html'], 'true')
  expect(late.lines).toContain('       dependencies: re-used (package-lock.json unchanged)')
  expect(keyOf(late)).toBe(keyOf(victim))
}, 300_000)
