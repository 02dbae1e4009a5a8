import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { planOnly } from '../../builder/build.ts'
import { removeLayers } from '../../builder/layers/ledger.ts'
import { ensureStack } from '../../builder/stack/stack.ts'
import { appUser } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import type { Image } from '../../core/types.ts'
import { exec } from '../../core/exec.ts'
import { patience } from '../patience.ts'
import { answerOf, serving, until } from './serving.ts'
import {
  apps,
  makeRepo,
  noRegistries,
  type Repo,
  sample,
  temporaryConfig,
  tryBuild,
} from './support.ts'

const temporary = temporaryConfig()
const { config } = temporary
const signal = new AbortController().signal
const build = async (repo: Repo, app: string, files?: Record<string, string | undefined>) => {
  return await tryBuild(config, { ...(await repo.commit(files)), app, config: {} })
}

beforeAll(async () => {
  await ensureStack(config, () => {}, signal)
}, 300_000)

afterAll(async () => {
  await temporary[Symbol.asyncDispose]()
})

test('The sample becomes stack, runtime and source, owned by the app user, without .git', async () => {
  const repo = await makeRepo(config, 'sample', sample)
  const { image, error } = await build(repo, 'sample')
  expect(error).toBeUndefined()
  expect(image?.layers.map((layer) => layer.kind)).toEqual(['stack', 'runtime', 'app'])
  const app = join(pathOf(image, 'app'), 'app')
  expect(readdirSync(app).sort()).toEqual(['package-lock.json', 'package.json', 'server.js'])
  expect(statSync(join(app, 'server.js'))).toMatchObject({ uid: appUser, gid: appUser })
  expect(statSync(app)).toMatchObject({ uid: appUser })
  expect(await answerOf(config, image)).toContain('Hello from paas')
}, 120_000)

test('A lockfile is installed once and re-used, even by another app', async () => {
  const repo = await makeRepo(config, 'lock', join(apps, 'node-lockfile'))
  const first = await build(repo, 'lock')
  expect(first.lines).toContain('-----> npm ci --omit=dev')
  expect(first.image?.layers.map((layer) => layer.kind)).toEqual([
    'stack',
    'runtime',
    'dependencies',
    'app',
  ])
  expect(await answerOf(config, first.image)).toBe('one day is 86400000 ms\n')
  const packages = join(pathOf(first.image, 'dependencies'), 'app/node_modules')
  expect(readdirSync(packages).sort()).toEqual(['.package-lock.json', 'ms'])

  const second = await build(repo, 'lock', { 'notes.txt': 'changed' })
  expect(second.lines).toContain('       dependencies: re-used (package-lock.json unchanged)')
  const other = await makeRepo(config, 'lock-two', join(apps, 'node-lockfile'))
  const third = await build(other, 'lock-two', { 'other.txt': 'another app' })
  expect(third.lines).toContain('       dependencies: re-used (package-lock.json unchanged)')
  expect(pathOf(third.image, 'dependencies')).toBe(pathOf(first.image, 'dependencies'))
}, 120_000)

test('Editing a script or the version in package.json installs nothing anew', async () => {
  const repo = await makeRepo(config, 'edit', join(apps, 'node-lockfile'))
  const large = Buffer.alloc(20 * 1024 * 1024, 'patch')
  mkdirSync(join(repo.dir, 'patches'))
  writeFileSync(join(repo.dir, 'patches/large'), large)
  const first = await build(repo, 'edit')
  expect(first.error).toBeUndefined()
  const { layers } = paths(config)
  const given = readdirSync(layers).map((key) => join(layers, key, 'app/patches/large'))
  const copies = given.filter((file) => existsSync(file)).map((file) => readFileSync(file))
  expect(copies.map((copy) => copy.equals(large))).toEqual([true, true]) // the source's too
  const text = readFileSync(join(repo.dir, 'package.json'), 'utf8')
  const edited = text.replace('1.0.0', '1.0.1').replace('node server.js', 'node ./server.js')
  const { lines } = await build(repo, 'edit', { 'package.json': edited })
  expect(lines).toContain('       dependencies: re-used (package-lock.json unchanged)')
  expect(lines).toContain('       web: node ./server.js (scripts.start in package.json)')
}, 120_000)

test('A lockfile that is out of date is told without how npm is to be called', async () => {
  const repo = await makeRepo(config, 'stale', join(apps, 'node-lockfile'))
  const dependencies = { ms: '2.1.3', 'is-number': '7.0.0' }
  const { lines } = await build(repo, 'stale', {
    'package.json': JSON.stringify({ name: 'stale', version: '1.0.0', dependencies }),
  })
  expect(lines).toContain(' !     "npm ci --omit=dev" exited with 1; its output is above')
  expect(lines).toContain('       npm error Missing: is-number@7.0.0 from lock file')
  expect(lines.filter((line) => line.includes('npm error')).length).toBeLessThan(6)
}, 120_000)

test('Without a lockfile it installs with a warning, for this app alone', async () => {
  const repo = await makeRepo(config, 'loose', join(apps, 'node-no-lockfile'))
  const { image, lines } = await build(repo, 'loose')
  expect(lines).toContain(
    ' !     No package-lock.json: versions of dependencies are chosen anew when they change',
  )
  expect(lines).toContain('       web: node server.js (server.js)')
  expect(await answerOf(config, image)).toBe('one day is 86400000 ms\n')
  const other = await makeRepo(config, 'loose-two', join(apps, 'node-no-lockfile'))
  const second = await build(other, 'loose-two')
  expect(pathOf(second.image, 'dependencies')).not.toBe(pathOf(image, 'dependencies'))
}, 120_000)

test('The exact Node of .nvmrc runs the app', async () => {
  const repo = await makeRepo(config, 'pinned', join(apps, 'node-22-nvmrc'))
  const { image, lines } = await build(repo, 'pinned')
  expect(lines).toContain('       Node 22.11.0 (.nvmrc "v22.11.0")')
  expect(lines).toContain('       worker: node worker.js (Procfile)')
  expect(await answerOf(config, image)).toBe('v22.11.0')
}, 120_000)

test('A range is the newest Node, which runs with the library that the stack has not', async () => {
  const repo = await makeRepo(config, 'newest')
  const files = {
    'package.json': '{"engines": {"node": ">=25"}, "scripts": {"start": "node a.js"}}',
    'a.js': `require('node:http')
  .createServer((_request, response) => response.end(process.version)).listen(process.env.PORT)`,
  }
  const { image, error } = await build(repo, 'newest', files)
  if (!image) throw error
  expect(image.layers.map(({ kind }) => kind)).toEqual(['stack', 'apt', 'runtime', 'app'])
  expect(await answerOf(config, image)).toMatch(/^v(2[6-9]|[3-9]\d)\./)
}, 120_000)

test('A build script has its tools and public config; the image has neither tools nor more', async () => {
  const repo = await makeRepo(config, 'script', join(apps, 'node-build-script'))
  const request = { ...(await repo.commit()), app: 'script' }
  const titled = { VITE_TITLE: 'Shop', SECRET: 'hidden' }
  const { image, lines } = await tryBuild(config, { ...request, config: titled })
  expect(lines).toContain('       built')
  expect(await answerOf(config, image)).toBe('Shop 7 1000')
  const packages = join(pathOf(image, 'dependencies'), 'app/node_modules')
  expect(existsSync(join(packages, 'semver'))).toBe(false)
  const again = await tryBuild(config, { ...request, config: titled })
  expect(again.lines).toContain('       build: re-used (the source unchanged)')
  const other = await tryBuild(config, { ...request, config: { VITE_TITLE: 'New', SECRET: 'x' } })
  expect(await answerOf(config, other.image)).toBe('New 7 1000')
}, 120_000)

test('What npm and bundlers keep for their next run is there in the next build, and in no image', async () => {
  const repo = await makeRepo(config, 'bundled', join(apps, 'node-lockfile'))
  const count = `const { existsSync, readdirSync, readFileSync, writeFileSync } = require('node:fs')
const compiled = '/tmp/node-compile-cache'
const files = readdirSync(compiled, { recursive: true })
console.log('of npm', files.length > 100, 'of others', files.includes('mine'))
writeFileSync(compiled + '/mine', '')
const at = 'node_modules/.cache/runs'
const runs = existsSync(at) ? Number(readFileSync(at)) + 1 : 1
writeFileSync(at, String(runs))
writeFileSync('made.txt', 'made')
console.log('run', runs)`
  const packageJson = JSON.parse(readFileSync(join(apps, 'node-lockfile/package.json'), 'utf8'))
  const scripts = { ...packageJson.scripts, build: 'node count.js' }
  const files = { 'package.json': JSON.stringify({ ...packageJson, scripts }), 'count.js': count }
  const first = await build(repo, 'bundled', files)
  const second = await build(repo, 'bundled', { 'other.txt': 'changed' })
  expect(first.lines).toContain('       run 1')
  expect(second.lines).toContain('       run 2')
  for (const { image, lines } of [first, second]) {
    expect(lines).toContain('       of npm true of others false')
    expect(image?.layers.filter(({ key }) => key.startsWith('npm-compiled'))).toEqual([])
  }
  const made = join(pathOf(second.image, 'build'), 'app')
  expect([existsSync(made), existsSync(join(made, 'node_modules/.cache'))]).toEqual([true, false])
  const anew = { ...(await repo.commit({})), app: 'bundled', config: {}, noCache: true }
  expect((await tryBuild(config, anew)).lines).toContain('       run 1')
}, 240_000)

test('A failing build script says which command, its status and what to try', async () => {
  const repo = await makeRepo(config, 'failing', join(apps, 'node-failing-build'))
  const { lines } = await build(repo, 'failing')
  expect(lines).toContain('       about to fail')
  expect(lines.slice(-2)).toEqual([
    ' !     "npm run build" exited with 3; its output is above',
    ' !     Try it at home with: npm run build',
  ])
  expect(readdirSync(paths(config).making)).toEqual([])
}, 120_000)

test('A build that runs out of memory says of how much, and in which command', async () => {
  const small = { ...config, buildMemoryBytes: 200 * 1024 * 1024 }
  const repo = await makeRepo(config, 'hungry')
  const eat = 'const kept = []; for (;;) kept.push(Buffer.alloc(8_000_000, 1))'
  const packageJson = { scripts: { build: 'node eat.js', start: 'node a.js' } }
  const files = { 'package.json': JSON.stringify(packageJson), 'eat.js': eat }
  const request = { ...(await repo.commit(files)), app: 'hungry', config: {} }
  const { lines } = await tryBuild(small, request)
  const hint = ' !     Let the build use less, or raise PAAS_BUILD_MEMORY (MiB) on the server'
  expect(lines.slice(-2)).toEqual([
    ' !     The build used 200 of 200 MB and was killed in "npm run build"',
    hint,
  ])
  // Whose heap is full ends itself, before the kernel has to: it had most of what it may use.
  const heap =
    'const kept = []; for (;;) kept.push(new Array(10_000).fill(0).map((_, i) => ({ i })))'
  const other = { ...(await repo.commit({ 'eat.js': heap })), app: 'hungry', config: {} }
  const second = (await tryBuild(small, other)).lines
  expect(second.at(-2)).toMatch(
    / The build used (1[5-9]\d|200) of 200 MB and was killed in "npm run build"$/,
  )
  expect(second.at(-1)).toBe(hint)
}, 120_000)

test('A build that hangs is ended at its deadline, and says so', async () => {
  const hasty = { ...config, buildTimeoutMs: 3000 }
  const repo = await makeRepo(config, 'hanging')
  const packageJson = { scripts: { build: 'sleep 600', start: 'node a.js' } }
  const files = { 'package.json': JSON.stringify(packageJson), 'a.js': '' }
  const request = { ...(await repo.commit(files)), app: 'hanging', config: {} }
  const { lines } = await tryBuild(hasty, request)
  expect(lines.slice(-2)).toEqual([
    ' !     The build took longer than 3 s and was stopped in "npm run build"',
    ' !     Let the build do less, or raise PAAS_BUILD_TIMEOUT (seconds) on the server',
  ])
}, 120_000)

test('No version satisfies: the range, the file and what there is', async () => {
  const repo = await makeRepo(config, 'future')
  const packageJson = '{"engines": {"node": ">=99"}, "scripts": {"start": "node a.js"}}'
  const { lines } = await build(repo, 'future', { 'package.json': packageJson })
  expect(lines[2]).toBe(' !     No Node version satisfies engines.node ">=99" in package.json')
  expect(lines[3]).toMatch(/^ !     Available: 10\.\S+, .*24\.\S+/)
})

const refused: [what: string, files: Record<string, string>, message: string][] = [
  ['a commit without files', {}, 'The commit has no files'],
  [
    'a Git LFS pointer',
    {
      'package.json': '{"scripts": {"start": "a"}}',
      'big.bin': `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12345\n`,
    },
    'big.bin is a Git LFS pointer: its content is not in this push',
  ],
  [
    'a wrong line in the Procfile',
    { 'package.json': '{}', Procfile: 'web: a\noops\n' },
    'Procfile line 2: "oops" has no ":"',
  ],
]

test.each(refused)('A push with %s is refused in one sentence', async (what, files, message) => {
  const repo = await makeRepo(config, `refused-${what.replaceAll(' ', '-')}`)
  const { lines } = await build(repo, 'refused', files)
  expect(lines.find((line) => line.startsWith(' !     '))).toBe(` !     ${message}`)
  expect(readdirSync(paths(config).making)).toEqual([])
})

test('A submodule that is not fetched is named with its address', async () => {
  const inner = await makeRepo(config, 'inner', sample)
  await inner.commit()
  const repo = await makeRepo(config, 'outer', sample)
  await repo.git(
    '-c',
    'protocol.file.allow=always',
    'submodule',
    'add',
    '--quiet',
    inner.dir,
    'lib',
  )
  const { lines } = await build(repo, 'outer')
  expect(lines[0]).toMatch(
    /lib is a git submodule without its files: its address is "\/.*only https:\/\/ and ssh/,
  )
})

test('An app is what was committed, whatever its attributes tell an archive', async () => {
  const repo = await makeRepo(config, 'attributes', sample)
  const { image } = await build(repo, 'attributes', {
    '.gitattributes': 'kept.txt export-ignore\nsame.txt export-subst\n',
    'kept.txt': 'kept',
    'same.txt': '$Format:%H$',
  })
  const app = join(pathOf(image, 'app'), 'app')
  expect(readFileSync(join(app, 'kept.txt'), 'utf8')).toBe('kept')
  expect(readFileSync(join(app, 'same.txt'), 'utf8')).toBe('$Format:%H$')
})

test('A link to a host file stays a link in the image and is not read', async () => {
  const repo = await makeRepo(config, 'link', sample)
  await exec('ln', ['-s', '/etc/passwd', join(repo.dir, 'Procfile')])
  const { lines } = await build(repo, 'link')
  expect(lines[0]).toBe(' !     Procfile is a symbolic link that leads out of the repository')
  await exec('rm', [join(repo.dir, 'Procfile')])
  await exec('ln', ['-s', '/etc/passwd', join(repo.dir, 'other')])
  const { image } = await build(repo, 'link')
  expect(lstatSync(join(pathOf(image, 'app'), 'app', 'other')).isSymbolicLink()).toBe(true)
})

test('A static site is served: pages, clean addresses, its own 404; hidden files are not', async () => {
  const repo = await makeRepo(config, 'site', join(apps, 'static-root'))
  const { image, lines } = await build(repo, 'site')
  expect(lines).toContain('-----> Static site detected (index.html)')
  await serving(config, image, async (get) => {
    expect(await get('/')).toEqual([200, expect.stringContaining('static root')])
    expect(await get('/about')).toEqual([200, expect.stringContaining('about page')])
    expect(await get('/nothing')).toEqual([404, expect.stringContaining('no such page here')])
    for (const hidden of ['/.env', '/%2eenv', '/sub/.git/config', '/./.env']) {
      expect((await get(hidden))[0]).toBe(404)
    }
    expect((await get('/..%2f..%2fetc/passwd'))[0]).not.toBe(200)
  })
}, 120_000)

test('A single-page site answers every address with its page', async () => {
  const repo = await makeRepo(config, 'spa', join(apps, 'static-spa'))
  const { image } = await build(repo, 'spa')
  await serving(config, image, async (get) => {
    expect(await get('/some/view')).toEqual([200, expect.stringContaining('single page')])
  })
}, 120_000)

test('A cancelled build ends within two seconds and leaves nothing half made', async () => {
  const repo = await makeRepo(config, 'cancel')
  const packageJson = { scripts: { build: 'sleep 613', start: 'node a.js' } }
  const request = { ...(await repo.commit({ 'package.json': JSON.stringify(packageJson) })) }
  const controller = new AbortController()
  const building = tryBuild(config, { ...request, app: 'cancel', config: {} }, controller.signal)
  await until(async () => (await sleeping()) > 0)
  const cancelledAt = performance.now()
  controller.abort()
  expect((await building).lines.at(-1)).toBe(' !     Cancelled')
  expect(performance.now() - cancelledAt).toBeLessThan(patience(2000))
  expect(await sleeping()).toBe(0)
  expect(readdirSync(paths(config).making)).toEqual([])
  expect(readdirSync(join(paths(config).store, 'scratch'))).toEqual([])
}, 120_000)

test('Two builds at once make a layer once, and both have it', async () => {
  const packageJson = { dependencies: { ms: '2.1.2' }, scripts: { start: 'node a.js' } }
  const lock = {
    lockfileVersion: 3,
    packages: {
      '': { dependencies: packageJson.dependencies },
      'node_modules/ms': {
        version: '2.1.2',
        integrity:
          'sha512-sGkPx+VjMtmA6MX27oA4FBFELFCZZ4S4XqeGOXCv68tT+jb3vk/RyaKWP0PTKyWtmLSM0b+adUTEvbs1PEaH2w==',
      },
    },
  }
  const files = {
    'package.json': JSON.stringify(packageJson),
    'package-lock.json': JSON.stringify(lock, null, 2),
  }
  const one = await makeRepo(config, 'one')
  const two = await makeRepo(config, 'two')
  const built = await Promise.all([build(one, 'one', files), build(two, 'two', files)])
  expect(built.map(({ error }) => error)).toEqual([undefined, undefined])
  const made = built.flatMap(({ lines }) =>
    lines.filter((line) => line === '-----> npm ci --omit=dev'),
  )
  expect(made).toHaveLength(1)
}, 120_000)

test('The plan names every layer and whether it is there, and builds nothing', async () => {
  const repo = await makeRepo(config, 'planned', join(apps, 'node-lockfile'))
  const text = readFileSync(join(repo.dir, 'package.json'), 'utf8').replace('2.1.3', '2.1.1')
  const request = { ...(await repo.commit({ 'package.json': text })), app: 'planned', config: {} }
  const plan = await planOnly(request, { config, images: noRegistries }, () => {}, signal)
  expect(plan).toMatchObject({
    language: 'Node',
    because: 'package.json',
    versions: [{ tool: 'node', from: 'engines.node "24.x" in package.json' }],
    steps: [
      {
        name: 'dependencies',
        run: 'npm ci --omit=dev',
        inputs: ['package.json', 'package-lock.json'],
        present: false,
      },
    ],
    processes: { web: 'node server.js' },
    processesFrom: 'scripts.start in package.json',
  })
  expect('layers' in plan && plan.layers.map((layer) => layer.kind)).toEqual([
    'stack',
    'runtime',
    'dependencies',
    'app',
  ])
  expect(readdirSync(paths(config).making)).toEqual([])
})

test('Whoever changes the extracted source changes this build alone', async () => {
  const repo = await makeRepo(config, 'extracted', sample)
  const request = { ...(await repo.commit()), app: 'extracted', config: {} }
  const changed = await tryBuild(config, { ...request, extracted: addProcfile })
  const plain = await tryBuild(config, request)
  expect(changed.image?.processes).toEqual({ web: 'node server.js --changed' })
  expect(plain.image?.processes).toEqual({ web: 'node server.js' })
})

test('Removing layers keeps those asked for and what they were made from', async () => {
  await using other = temporaryConfig()
  const repo = await makeRepo(other.config, 'kept', join(apps, 'node-build-script'))
  const request = { ...(await repo.commit()), app: 'kept', config: {} }
  const { image } = await tryBuild(other.config, request)
  const keep = new Set(image?.layers.map((layer) => layer.key))
  const { layers } = paths(other.config)
  expect(await removeLayers(other.config, keep)).toEqual([])
  expect(readdirSync(layers).some((name) => name.startsWith('manifest-'))).toBe(true)
  // Another process, as after a restart: no build of its own holds on to anything.
  const script = `
    import { removeLayers } from '${join(import.meta.dirname, '../../builder/layers/ledger.ts')}'
    const removed = await removeLayers(JSON.parse(process.argv[1]), new Set(process.argv.slice(2)))
    console.log(JSON.stringify(removed))`
  const remove = async (keys: string[]) => {
    const args = ['--input-type=module', '--eval', script, JSON.stringify(other.config), ...keys]
    const removed: unknown = JSON.parse((await exec(process.execPath, args)).stdout)
    return removed
  }
  expect(await remove([...keep])).toEqual([expect.stringMatching(/^manifest-/)])
  const again = await tryBuild(other.config, request)
  expect(again.lines).toContain('       build dependencies: re-used (package-lock.json unchanged)')
  await remove([])
  expect(readdirSync(layers)).toEqual([])
}, 120_000)

async function addProcfile(dir: string): Promise<void> {
  writeFileSync(join(dir, 'Procfile'), 'web: node server.js --changed')
}

function pathOf(image: Image | undefined, kind: Image['layers'][number]['kind']): string {
  const layer = image?.layers.find((candidate) => candidate.kind === kind)
  if (!layer) throw new Error(`no ${kind} layer`)
  return paths(config).layer(layer)
}

async function sleeping(): Promise<number> {
  const { stdout } = await exec('pgrep', ['--full', '--exact', 'sleep 613'], { accept: [0, 1] })
  return stdout.split('\n').filter(Boolean).length
}
