import { readdirSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { aptIndex } from '../../builder/stack/apt-index.ts'
import type { ToolRequest } from '../../builder/buildpack-detect/plan.ts'
import { ensureTool } from '../../builder/docker/tool.ts'
import { caddyLayer, caddyRuntime } from '../../builder/runtimes/caddy.ts'
import { ensureStack } from '../../builder/stack/stack.ts'
import { ensureRuntime } from '../../builder/runtimes/tools.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { instancePrefix } from '../run-of-tests.ts'
import { nodeApp, type Paas, startPaas } from './instance.ts'

const end = new AsyncDisposableStack()
let paas: Paas
let cache: string
const { signal } = new AbortController()

/** A cache of its own, so that new stacks go with it; what the host has already is linked in. */
beforeAll(async () => {
  const host = readConfig(process.env)
  const { run, build } = await ensureStack(host, () => {})
  cache = await mkdtemp(`${instancePrefix()}cache-`)
  end.defer(() => rm(cache, { recursive: true, force: true }))
  await mkdir(join(cache, 'layers'))
  const { sharedLayers } = paths(host)
  const runtimes = (await readdir(sharedLayers)).filter((name) => /^node-24.*-1$/.test(name))
  const tool = await ensureTool(host, { say: () => {}, signal })
  for (const name of [run.key, build.key, ...runtimes, ...tool.slice(1).map(({ key }) => key)]) {
    const from = join(sharedLayers, name)
    await exec('cp', ['--archive', '--link', '--', from, join(cache, 'layers')])
    await exec('touch', ['--', join(cache, 'layers', `${name}.used`)])
  }
  await haveOldCaddy(host)
  paas = end.use(await startPaas({ PAAS_CACHE: cache }))
  await paas.push('shop', await paas.tree('shop', shop))
  await paas.push('site', await paas.tree('site', { 'index.html': 'site' }))
  await paas.push('docked', await paas.tree('docked', docked('COPY server.pl /srv/')))
  const installing = ['COPY server.pl /srv/', 'RUN echo >> /var/lib/dpkg/status'].join('\n')
  await paas.push('packed', await paas.tree('packed', docked(installing)))
  await paas.push('idle', await paas.tree('idle', nodeApp('idle')))
  await paas.ssh(['ps:stop', 'idle'])
  await paas.push('locked', await paas.tree('locked', nodeApp('locked')))
  await paas.push('frail', await paas.tree('frail', nodeApp('frail', { before: frail })))
  await paas.ssh(['apps:lock', 'locked'])
}, 600_000)
afterAll(() => end.disposeAsync())

/** Has a package of Debian, and one of npm that was committed with it. */
const shop = {
  ...nodeApp('shop'),
  'paas.toml': 'apt = ["sl"]\n',
  'vendor/node_modules/@shop/thing/package.json': '{"name":"@shop/thing","version":"1.2.3"}',
}

/** An image of a Dockerfile on the stack, which has perl. */
const docked = (lines: string) => ({
  Dockerfile: `FROM paas/stack\n${lines}\nCMD ["perl", "/srv/server.pl"]\n`,
  'server.pl': `use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 64, ReuseAddr => 1) or die;
$SIG{TERM} = sub { exit 0 };
while (my $client = $listener->accept) {
  while (<$client>) { last if /^\\r\\n/ }
  print $client "HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\ndocked";
  close $client;
}
`,
})

const oldCaddy = '2.0.0-1'

/** Debian's lists of some day, when it had a Caddy before the one of now. */
async function haveOldCaddy(host: PaasConfig): Promise<void> {
  const context = { config: host, say: () => {}, signal }
  const { version } = await caddyRuntime.choose(asking, context)
  await ensureRuntime(caddyRuntime, version, context)
  const from = paths(host).layer(caddyLayer(version))
  const to = join(cache, 'layers', caddyLayer(oldCaddy).key)
  await exec('cp', ['--archive', '--link', '--no-target-directory', '--', from, to])
  await exec('touch', ['--', `${to}.used`])
  const { lists } = await aptIndex(host, context)
  const copy = join(dirname(dirname(lists)).replace(host.cache, cache), String(Date.now()))
  await mkdir(dirname(copy), { recursive: true })
  await cp(dirname(lists), copy, { recursive: true })
  const index = await readFile(join(copy, 'index'), 'utf8')
  await writeFile(join(copy, 'index'), index.replace(/^caddy .*$/m, `caddy ${oldCaddy}`))
}

const asking: ToolRequest = {
  ...{ tool: 'caddy', constraint: undefined, pin: undefined, choose: '', inImage: true },
}

/** Cannot start once its start before has left a file behind: as if the new stack broke it. */
const frail = `if (process.env.BROKEN) process.exit(1)`

type Facts = { key: string; newest: boolean; apps: string[]; releases: number; packages: number }
const stacks = async (): Promise<Facts[]> =>
  JSON.parse((await paas.ssh(['stack:list', '--json'])).stdout)

test('Apps are moved one after the other, and those that could not are named', async () => {
  const [before] = await stacks()
  expect(before).toMatchObject({
    newest: true,
    apps: ['docked', 'frail', 'idle', 'locked', 'packed', 'shop', 'site'],
  })
  await paas.ssh(['config:set', 'frail', '--no-restart', 'BROKEN=1'])

  const update = await paas.ssh(['stack:update', '--force'])
  expect(update.code).toBe(1)
  expect(update.stdout).toContain('=====> Moving shop to Debian trixie (run) of 20')
  expect(update.stdout).not.toMatch(/-----> (Building|Node detected)|mmdebstrap/)
  expect(update.stdout).toContain('=====> 4 of 7 moved, 3 could not be')
  expect(update.stdout).toMatch(/ idle +moved +v2 .*it is stopped, so that nothing was tried/)
  expect(update.stdout).toMatch(/ locked +not moved +v1 .*locked by tester/)
  expect(update.stdout).toMatch(/ frail +not moved +v1 .*web/)
  expect(update.stdout).toMatch(/ shop +moved +v2 +[\d.]+ s\n/)
  expect(update.stdout).toMatch(/=====> Moving site to Debian trixie \(run\) of 20.* and Caddy \d/)
  expect(update.stdout).toMatch(/ site +moved +v2 /)
  expect(update.stdout).toMatch(/ docked +moved +v2 /)
  expect(update.stdout).toMatch(
    / packed +not moved +v1 .*its Dockerfile installs Debian packages: ps:rebuild/,
  )
  for (const app of ['shop', 'frail', 'locked', 'site', 'docked']) {
    expect((await paas.get(app)).body).toBe(app)
  }
  expect((await paas.get('packed')).body).toBe('docked')

  const [old, fresh] = await stacks()
  expect(old).toMatchObject({ newest: false, apps: ['frail', 'locked', 'packed'], releases: 7 })
  expect(fresh).toMatchObject({
    newest: true,
    apps: ['docked', 'idle', 'shop', 'site'],
    releases: 4,
  })
  expect(fresh?.packages).toBe(old?.packages)
}, 600_000)

test('What a Dockerfile made lies on the new stack; what was exchanged is in nothing else', async () => {
  const layers = async (app: string, version: string): Promise<{ kind: string; key: string }[]> =>
    JSON.parse((await paas.ssh(['releases:info', app, version, '--json'])).stdout).layers
  const [before, after] = [await layers('docked', 'v1'), await layers('docked', 'v2')]
  expect(before.map(({ kind }) => kind)).toEqual(['stack', 'image'])
  expect(after[0]?.key).not.toBe(before[0]?.key)
  expect(after.slice(1)).toEqual(before.slice(1))
  const [old, fresh] = [await layers('site', 'v1'), await layers('site', 'v2')]
  expect(old.map(({ key }) => key)).toContain(caddyLayer(oldCaddy).key)
  expect(fresh.map(({ key }) => key)).not.toContain(caddyLayer(oldCaddy).key)
  expect(fresh.at(-1)).toEqual(old.at(-1))
  expect((await paas.ssh(['ps:rebuild', 'packed'])).code).toBe(0)
  expect((await paas.ssh(['stack:update', 'packed'])).stdout).toMatch(/ packed +already there +v2/)
}, 300_000)

test('What the app has of Debian is on the new stack, what it built is as it was', async () => {
  const [one, two] = await Promise.all(
    ['v1', 'v2'].map(async (version) => {
      const { stdout } = await paas.ssh(['releases:info', 'shop', version, '--json'])
      return JSON.parse(stdout).layers
    }),
  )
  const kinds = one.map(({ kind }: { kind: string }) => kind)
  expect(kinds).toEqual(['stack', 'apt', 'runtime', 'app'])
  expect(two.map(({ key }: { key: string }, at: number) => key === one[at].key)).toEqual([
    false,
    false,
    true,
    true,
  ])
  expect((await paas.ssh(['run', 'shop', 'test', '-x', '/usr/games/sl'])).code).toBe(0)
})

test('releases:sbom names what is in a release, in CycloneDX', async () => {
  const answer = await paas.ssh(['releases:sbom', 'shop', 'v1'])
  const bom = JSON.parse(answer.stdout)
  expect(bom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.6' })
  expect(bom.metadata.component).toMatchObject({ name: 'shop', version: 'v1' })
  const purls: string[] = bom.components.map(({ purl }: { purl?: string }) => purl ?? '')
  expect(purls).toContainEqual(expect.stringMatching(/^pkg:deb\/debian\/sl@.*arch=/))
  expect(purls).toContainEqual(expect.stringMatching(/^pkg:deb\/debian\/libc6@.*upstream=glibc$/))
  expect(purls).toContain('pkg:npm/%40shop/thing@1.2.3')
  const names = bom.components.map(({ name }: { name: string }) => name)
  expect(names).toEqual(expect.arrayContaining(['debian', 'Node']))
  expect((await paas.ssh(['releases:sbom', 'shop', 'v1'])).stdout).toBe(answer.stdout)
})

test('One that can be moved by now is, alone; nothing newer needs no new stack', async () => {
  await paas.ssh(['apps:unlock', 'locked'])
  const update = await paas.ssh(['stack:update', 'locked'])
  expect([update.code, update.stdout]).toEqual([0, expect.stringContaining('is up to date')])
  expect(update.stdout).toContain('=====> 1 of 1 moved')
  expect((await paas.get('locked')).body).toBe('locked')
  expect((await stacks()).length).toBe(2)
  expect((await paas.ssh(['stack:update', 'nobody'])).code).toBe(20)
}, 120_000)

test('A push stands on the newest stack; a rollback goes back across the move', async () => {
  const push = await paas.push('shop', await paas.tree('shop', nodeApp('second')))
  expect(push.out).toMatch(
    /Layers: Debian trixie \(run\) of 20[^\n]* re-used, apt sl re-used, Node/,
  )
  await paas.ssh(['images:gc'])
  const back = await paas.ssh(['releases:rollback', 'shop', 'v1'])
  expect(back.code).toBe(0)
  expect((await paas.get('shop')).body).toBe('shop')
  const [old] = await stacks()
  expect(old?.apps).toEqual(['frail', 'shop'])
}, 120_000)

test('An image from elsewhere is left as it is, with the reason', async () => {
  const tiny = { Dockerfile: 'FROM scratch\nCOPY Procfile /\n', Procfile: 'worker: true\n' }
  expect((await paas.push('tiny', await paas.tree('tiny', tiny))).code).toBe(0)
  await paas.ssh(['apps:create', 'alien'])
  const passOn = '"$@" images:export tiny | "$@" git:load-image alien'
  await exec('sh', ['-c', passOn, 'sh', ...paas.sshCommand, 'paas@127.0.0.1'])
  const update = await paas.ssh(['stack:update', 'alien'])
  expect([update.code, update.stdout]).toEqual([
    1,
    expect.stringMatching(/ alien +not moved +v1 .*it came as an image/),
  ])
  expect(readdirSync(paths(paas.config).making)).toEqual([])
}, 120_000)
