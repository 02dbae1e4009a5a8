import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { build, type BuildTools } from '../../builder/build.ts'
import type { SandboxJob } from '../../builder/sandbox.ts'
import type { PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { kernelNames, newId, paths } from '../../core/names.ts'
import type { Image } from '../../core/types.ts'
import { cgroupRoot } from '../../runner/cgroup.ts'
import { hostOf, sandboxOf } from '../builder/sandbox.ts'
import { makeRepo, noRegistries, type Repo, temporaryConfig } from '../builder/support.ts'
import { nodeApp, startPaas } from '../system/instance.ts'
import { layerPaths } from './layers.ts'
import { type Figure, median, milliseconds, ratio, sample, timed } from './stats.ts'

const rounds = 7
/** An install of many packages takes a while. */
const installs = 5
const { signal } = new AbortController()

/** The build alone, without starting anything, beside the tools that do its raw work. */
export async function benchBuilder(): Promise<Figure[]> {
  await using temporary = temporaryConfig()
  const { config } = temporary
  return [
    ...(await oneLine(config)),
    ...(await lockfiles(config)),
    ...(await secondApp(config)),
    ...(await exports()),
  ]
}

type Bench = {
  repo: Repo
  /** Builds what is committed, and returns the milliseconds; what ran is in `jobs`. */
  build: (files?: Record<string, string>) => Promise<number>
  jobs: SandboxJob[]
  image: () => Image
}

async function openBench(config: PaasConfig, app: string): Promise<Bench> {
  const repo = await makeRepo(config, `${app}-${newId()}`)
  const jobs: SandboxJob[] = []
  const inSandbox = sandboxOf(config)
  const tools: BuildTools = {
    config,
    sandbox: (job) => {
      jobs.push(job)
      return inSandbox(job)
    },
    images: noRegistries,
  }
  let last: Image | undefined
  return {
    repo,
    jobs,
    image() {
      if (!last) throw new Error('nothing was built')
      return last
    },
    async build(files) {
      const commit = await repo.commit(files)
      const before = last?.layers ?? []
      const request = { ...commit, app, config: {}, before }
      return timed(async () => {
        last = await build(request, tools, () => {}, signal)
      })
    },
  }
}

/** A tree of 1,000 files and 8 MB, of which one line changes; and nothing at all. */
async function oneLine(config: PaasConfig): Promise<Figure[]> {
  const bench = await openBench(config, 'lines')
  const dir = join(bench.repo.dir, 'data')
  mkdirSync(dir)
  for (let file = 0; file < 1000; file += 1) {
    writeFileSync(join(dir, String(file)), randomBytes(6 * 1024).toString('base64'))
  }
  await bench.build({ ...nodeApp('first'), ...(await lockOf(config, { ms: '2.1.3' })) })
  const raw: number[] = []
  const ours = await sample(rounds, async (round) => {
    const ms = await bench.build(nodeApp(`round ${round}`))
    raw.push(await archive(bench.repo.dir, join(config.home, newId())))
    return ms
  })
  const bar = 2 * median(raw) + 20
  bench.jobs.length = 0
  const before = bench.image()
  const unchanged = await sample(rounds, () => bench.build())
  const fresh = bench.image().layers.filter(({ key }, at) => before.layers[at]?.key !== key)
  return [
    { ...milliseconds('build of one changed line, of 1,000 files', ours), bar },
    milliseconds('raw: git archive | tar x of the tree', raw),
    milliseconds('build of a push that changes nothing', unchanged),
    {
      name: 'commands run and layers made for it',
      value: bench.jobs.length + fresh.length,
      unit: 'things',
      bar: 0,
    },
  ]
}

async function archive(dir: string, into: string): Promise<number> {
  await mkdir(into)
  const script = 'git archive HEAD | tar -x -C "$1"'
  const ms = await timed(() => exec('sh', ['-c', script, 'sh', into], { cwd: dir }))
  await rm(into, { recursive: true })
  return ms
}

/** Enough packages to be like an app's, and few enough for a bench. */
const many = { express: '5.1.0', pg: '8.16.3', pino: '9.9.0', zod: '4.1.5', undici: '7.15.0' }

/** The same packages by another lockfile each time: what `npm ci` does with all of them at hand. */
async function lockfiles(config: PaasConfig): Promise<Figure[]> {
  const bench = await openBench(config, 'locks')
  const files = { ...nodeApp('locks'), ...(await lockOf(config, many)) }
  await bench.build(files)
  await using plain = await plainNpm(config, bench)
  await plain.install(files)
  const raw: number[] = []
  const ours = await sample(installs, async (round) => {
    const lock = `${files['package-lock.json']}${'\n'.repeat(round + 1)}`
    raw.push(await plain.install(files))
    return bench.build({ 'package-lock.json': lock })
  })
  return [
    milliseconds('build of a changed lockfile', ours),
    milliseconds('raw: npm ci with its cache', raw),
    ratio('build of a changed lockfile ÷ npm ci', ours, raw, 1.1),
  ]
}

/**
 * npm as the layer has it, on the host, with a cache of its own; in the group of the builds, so
 * that whatever else the machine does takes as much from the one as from the other.
 */
async function plainNpm(config: PaasConfig, bench: Bench) {
  const runtime = bench.image().layers.find(({ kind }) => kind === 'runtime')
  if (!runtime) throw new Error('no Node in the image')
  const bin = join(paths(config).layer(runtime), 'usr/local/bin')
  const cache = join(config.home, 'npm-cache')
  const group = join(cgroupRoot('cpu'), kernelNames(config).builds, 'plain')
  await mkdir(group)
  const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
  const flags = ['--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--cache', cache]
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` }
  const install = async (files: Record<string, string>): Promise<number> => {
    const dir = join(config.home, newId())
    mkdirSync(dir)
    for (const name of ['package.json', 'package-lock.json']) {
      writeFileSync(join(dir, name), files[name] ?? '')
    }
    const options = { cwd: dir, env: definedOnly(env), timeoutMs: 300_000 }
    const argv = ['-c', enter, group, 'npm', 'ci', ...flags]
    // Left there till the end: ext4 looks long for inodes that were not freed just now.
    return timed(() => exec('sh', argv, options))
  }
  return { install, [Symbol.asyncDispose]: () => rmdir(group) }
}

/** A second app with the same toolchain and lockfile: what reaches it from beyond the host. */
async function secondApp(config: PaasConfig): Promise<Figure[]> {
  const files = { ...nodeApp('one'), ...(await lockOf(config, many)) }
  await (await openBench(config, 'one')).build(files)
  await hostOf(config)
  const second = await openBench(config, 'two')
  await using counter = await countForwarded(config.tag)
  const ms = await second.build({ ...files, 'other.txt': 'of the second app' })
  const bytes = await counter.bytes()
  return [
    milliseconds('build of a second app with the same lockfile', [ms]),
    { name: 'downloaded for it', value: bytes / 1_000_000, unit: 'MB', bar: 0 },
  ]
}

/** What the kernel hands on to the containers of an instance from elsewhere. */
async function countForwarded(bridge: string) {
  const name = `bench-${bridge}`
  const rules = `table inet ${name} {
    counter taken {}
    chain forward {
      type filter hook forward priority 0; policy accept;
      oifname "${bridge}" counter name taken
    }
  }`
  await exec('nft', ['--file', '-'], { input: rules })
  return {
    async bytes(): Promise<number> {
      const { stdout } = await exec('nft', ['list', 'counter', 'inet', name, 'taken'])
      return Number(/bytes (\d+)/.exec(stdout)?.[1])
    },
    async [Symbol.asyncDispose]() {
      await exec('nft', ['delete', 'table', 'inet', name])
    },
  }
}

/** The whole image of a Node app as an archive, the first time and later. */
async function exports(): Promise<Figure[]> {
  await using paas = await startPaas()
  const { code, out } = await paas.push('shop', await paas.tree('shop', nodeApp('exported')))
  if (code !== 0) throw new Error(out)
  const dirs = await layerPaths(paas)
  const { stdout } = await exec('du', ['--summarize', '--total', '--block-size=1', ...dirs])
  const size = Number(/(\d+)\ttotal/.exec(stdout)?.[1]) / 1_000_000
  const sum = 'tar -c -- "$@" | sha256sum'
  const cli = join(import.meta.dirname, '../../daemon/cli.ts')
  const env = paas.env
  const options = { env, timeoutMs: 300_000 }
  const run = [process.execPath, cli, 'images:export', 'shop']
  const exportIt = () => timed(() => exec('sh', ['-c', '"$@" > /dev/null', 'sh', ...run], options))
  await exec('sh', ['-c', sum, 'sh', ...dirs]) // all of it in memory for both
  const first = await exportIt()
  const raw: number[] = []
  const ours = await sample(rounds, async () => {
    raw.push(await timed(() => exec('sh', ['-c', sum, 'sh', ...dirs], options)))
    return exportIt()
  })
  return [
    { name: 'image that is exported', value: size, unit: 'MB' },
    milliseconds('its first export', [first]),
    milliseconds('its export', ours),
    milliseconds('raw: tar | sha256sum of its layers', raw),
    ratio('export ÷ tar | sha256sum', ours, raw, 1.5),
  ]
}

/** A manifest with these packages and npm's own lockfile for it, asked for once. */
async function lockOf(
  config: PaasConfig,
  dependencies: Record<string, string>,
): Promise<Record<'package.json' | 'package-lock.json', string>> {
  const dir = join(config.home, newId())
  mkdirSync(dir)
  const scripts = { start: 'node server.js' }
  const manifest = JSON.stringify({ name: 'bench', version: '1.0.0', scripts, dependencies })
  writeFileSync(join(dir, 'package.json'), manifest)
  // As npm makes it where nobody has set it otherwise: it says where each package comes from.
  const plain = ['--userconfig', '/dev/null']
  const flags = ['--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund', ...plain]
  await exec('npm', ['install', ...flags], { cwd: dir, timeoutMs: 300_000 })
  const lock = readFileSync(join(dir, 'package-lock.json'), 'utf8')
  return { 'package.json': manifest, 'package-lock.json': lock }
}

function definedOnly(env: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  )
}
