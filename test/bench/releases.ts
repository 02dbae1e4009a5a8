import { setTimeout as pause } from 'node:timers/promises'
import { idleDaemon } from './idle.ts'
import { bareStarts } from './bare.ts'
import { startOpenSsh } from './raw.ts'
import { seedApps } from './seed.ts'
import { type Figure, milliseconds, ratio, timed } from './stats.ts'
import { nodeApp, type Paas, startPaas, until } from '../system/instance.ts'

const rounds = 10
const appsSeeded = 1000

/** What changes an app, beside a redeploy; and what a thousand apps in the store cost. */
export async function benchReleases(): Promise<Figure[]> {
  await using paas = await startPaas({ PAAS_DRAIN_TIMEOUT: '10' })
  await deploy(paas, 'first')
  await deploy(paas, 'first', 'site')
  return [...(await changes(paas)), ...(await scaling(paas)), ...(await thousandApps(paas))]
}

/** The samples of each step, which take turns, so that all see the same machine. */
type Steps = Record<string, () => Promise<number>>

async function takeTurns(times: number, steps: Steps): Promise<Record<string, number[]>> {
  const samples: Record<string, number[]> = {}
  for (let round = 0; round < times; round += 1) {
    for (const [name, step] of Object.entries(steps)) (samples[name] ??= []).push(await step())
  }
  return samples
}

/**
 * Of an app that is one plain file, and of one that is compiled by a build script of its own. The
 * first has nothing to build: a redeploy of it is hardly more than a start, which a rollback needs
 * as well, so it is the second of which a rollback is to cost half.
 */
async function changes(paas: Paas): Promise<Figure[]> {
  let count = 0
  const next = () => `round ${(count += 1)}`
  const {
    redeploy = [],
    rollback = [],
    config = [],
    rebuild = [],
    unbuild = [],
  } = await takeTurns(rounds, {
    redeploy: () => deploy(paas, next()),
    rollback: () => answered(paas, 'shop', () => paas.ssh(['releases:rollback', 'shop'])),
    config: () =>
      answered(paas, 'shop', () => paas.ssh(['config:set', 'shop', `COUNT=${(count += 1)}`])),
    rebuild: () => deploy(paas, next(), 'site'),
    unbuild: () => answered(paas, 'site', () => paas.ssh(['releases:rollback', 'site'])),
  })
  return [
    milliseconds('redeploy of one line, push → first answer of the new release', redeploy),
    milliseconds('releases:rollback → first answer of the new release', rollback),
    milliseconds('config:set → first answer of the new release', config),
    milliseconds('the redeploy with a build script', rebuild),
    milliseconds('the rollback of that', unbuild),
    ratio('releases:rollback ÷ redeploy without a build script', rollback, redeploy),
    ratio('releases:rollback ÷ redeploy with a build script', unbuild, rebuild, 0.5),
    ratio('config:set ÷ redeploy without a build script', config, redeploy, 0.8),
  ]
}

async function scaling(paas: Paas): Promise<Figure[]> {
  const scale = (web: number) => timed(() => must(paas.ssh(['ps:scale', 'shop', `web=${web}`])))
  const {
    bareOne = [],
    bareThree = [],
    one = [],
    three = [],
  } = await takeTurns(rounds, {
    bareOne: () => bareStarts(paas),
    bareThree: () => bareStarts(paas, 3),
    one: async () => {
      await scale(0)
      await settled(paas, 'shop', 0)
      return scale(1)
    },
    three: async () => {
      const took = await scale(4)
      await scale(1)
      await settled(paas, 'shop', 1)
      return took
    },
  })
  return [
    milliseconds('raw: bare runc run until it answers', bareOne),
    milliseconds('raw: three of them at once', bareThree),
    ratio('raw: three at once ÷ one', bareThree, bareOne),
    milliseconds('ps:scale 0 → 1', one),
    milliseconds('ps:scale 1 → 4', three),
    ratio('ps:scale 1 → 4 ÷ start of one', three, one, 1.5),
  ]
}

const reads = [
  ['ps', 'shop'],
  ['config:get', 'shop', 'KEY'],
  ['releases', 'shop'],
  ['apps:list'],
  ['logs', 'shop', '-n', '10'],
  ['domains:report', 'shop'],
]

async function thousandApps(small: Paas): Promise<Figure[]> {
  await using openssh = await startOpenSsh()
  await using big = await startPaas({ PAAS_DRAIN_TIMEOUT: '10' })
  for (let count = 0; count < 5; count += 1) await deploy(big, `first ${count}`)
  await must(big.ssh(['config:set', 'shop', 'KEY=value']))
  await seedApps(big, appsSeeded)
  await pause(20_000)

  const raw = () => timed(openssh.sshTrue)
  const steps = reads.map((args) => [args[0], () => timed(() => must(big.ssh(args)))] as const)
  const samples = await takeTurns(rounds, { raw, ...Object.fromEntries(steps) })
  const { raw: bare = [], ...ours } = samples
  let count = 0
  const { one = [], many = [] } = await takeTurns(rounds, {
    one: () => deploy(small, `small ${count++}`),
    many: () => deploy(big, `big ${count++}`),
  })
  return [
    milliseconds('raw: ssh host true (OpenSSH)', bare),
    ...Object.entries(ours).map(([name, took]) =>
      ratio(`${name} with ${appsSeeded} apps ÷ ssh host true`, took, bare, 1.1),
    ),
    ratio(`redeploy with ${appsSeeded} apps ÷ with one`, many, one, 1.1),
    // The bars of an idle daemon are of one with a few apps.
    ...(await idleDaemon(big)).map(({ bar: _bar, ...figure }) => ({
      ...figure,
      name: `${figure.name}, with ${appsSeeded} apps`,
    })),
  ]
}

/** Pushes a changed line; milliseconds until the new release answers. */
async function deploy(paas: Paas, body: string, app: 'shop' | 'site' = 'shop'): Promise<number> {
  const files = app === 'shop' ? releaseApp(body) : builtApp(body)
  const dir = await paas.tree(app, files)
  return answered(paas, app, () => paas.push(app, dir))
}

/** An app that says which release of it answers. */
function releaseApp(body: string) {
  const before = `const release = process.env.PAAS_RELEASE // ${body}`
  const files = nodeApp('release', { before })
  return { ...files, 'server.js': files['server.js'].replaceAll('"release"', 'release') }
}

/** The same in TypeScript, compiled when it is built. */
function builtApp(body: string) {
  const { 'server.js': source } = releaseApp(body)
  const build = `const fs = require('node:fs')
const { stripTypeScriptTypes } = require('node:module')
fs.mkdirSync('dist', { recursive: true })
fs.writeFileSync('dist/server.js', stripTypeScriptTypes(fs.readFileSync('server.ts', 'utf8')))
`
  const scripts = { build: 'node build.js', start: 'node dist/server.js' }
  const manifest = JSON.stringify({ name: 'site', scripts })
  return { 'package.json': manifest, 'build.js': build, 'server.ts': source }
}

type Command = Promise<{ code: number; out: string }>

/** Milliseconds from the command to the first answer of another release than before. */
async function answered(paas: Paas, app: string, change: () => Command): Promise<number> {
  const before = await paas.get(app).catch(() => undefined)
  const over = new AbortController()
  const began = performance.now()
  const command = must(change()).finally(() => over.abort())
  command.catch(() => {}) // told below
  while (!over.signal.aborted && (await paas.get(app)).body === before?.body) await pause(2)
  const took = performance.now() - began
  await command
  await settled(paas, app, 1)
  return took
}

async function must(command: Command): Promise<void> {
  const { code, out } = await command
  if (code !== 0) throw new Error(out)
}

/** Waits until the old processes are gone: the end of one change is not the next one's matter. */
async function settled(paas: Paas, app: string, web: number): Promise<void> {
  await until(`${web} processes are left`, async () => {
    const { stdout } = await paas.ssh(['ps', app, '--json'])
    return JSON.parse(stdout).length === web
  })
}
