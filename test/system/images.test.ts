import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { canRunDocker, startDocker } from './docker-engine.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'
import { runBundle } from './plain-runc.ts'

let paas: Paas
const at = (name: string) => join(paas.base, name)
beforeAll(async () => {
  paas = await startPaas()
  await paas.push('shop', await paas.tree('shop', { 'index.html': 'hello image' }))
  await paas.ssh(['config:set', 'shop', 'API_TOKEN=a-secret-value'])
})
afterAll(() => paas[Symbol.asyncDispose]())

const exportTo = (file: string, ...args: string[]) =>
  exec('sh', ['-c', 'out=$1; shift; exec "$@" > "$out"', 'sh', at(file), ...args], {
    timeoutMs: 120_000,
  })
const overSsh = (app = 'shop') => [...paas.sshCommand, 'paas@127.0.0.1', 'images:export', app]
const load = (app: string, file: string, name = 'git:load-image') => {
  const [ssh = '', ...flags] = [...paas.sshCommand, 'paas@127.0.0.1', name, app]
  const script = 'in=$1; shift; exec "$@" < "$in"'
  return exec('sh', ['-c', script, 'sh', at(file), ssh, ...flags], {
    accept: [0, 1, 2],
    timeoutMs: 120_000,
  })
}
const hasTools = ['skopeo', 'umoci'].every((name) => existsSync(`/usr/bin/${name}`))
const umoci = (...args: string[]) => exec('umoci', args, { timeoutMs: 120_000 })

describe.skipIf(!hasTools)('an exported image, where skopeo and umoci are,', () => {
  test('is the same bytes every time, through every door', async () => {
    await exportTo('one.tar', ...overSsh())
    const cli = join(import.meta.dirname, '../../daemon/cli.ts')
    const env = Object.entries(paas.env).map(([key, value]) => `${key}=${value}`)
    await exportTo('two.tar', 'env', '-i', ...env, process.execPath, cli, 'images:export', 'shop')
    const sum = (file: string) =>
      createHash('sha256')
        .update(readFileSync(at(file)))
        .digest('hex')
    expect(sum('one.tar')).toBe(sum('two.tar'))
    const first = await exec('tar', ['-tvf', at('one.tar')])
    expect(first.stdout).toContain('oci-layout')
  })

  test('answers a request under plain runc, unpacked by skopeo and umoci', async () => {
    const archive = `oci-archive:${at('one.tar')}`
    await exec('skopeo', ['copy', archive, `oci:${at('layout')}:shop`], { timeoutMs: 120_000 })
    const args = ['unpack', '--image', `${at('layout')}:shop`, at('bundle')]
    await exec('umoci', args, { timeoutMs: 120_000 })
    await using running = await runBundle(at('bundle'))
    expect(await running.get(5000)).toBe('hello image')
  })

  test('holds no config of the app, and names app and commit', async () => {
    const { stdout } = await exec('skopeo', ['inspect', '--config', `oci:${at('layout')}:shop`])
    const { config } = JSON.parse(stdout)
    const { stdout: commit } = await exec('git', ['rev-parse', 'HEAD'], { cwd: at('shop') })
    expect(config).toMatchObject({
      WorkingDir: '/app',
      User: '32767:32767',
      Cmd: ['/bin/sh', '-c', expect.stringMatching(/^exec caddy /)],
      Labels: { 'paas.app': 'shop', 'org.opencontainers.image.revision': commit.trim() },
    })
    expect(config.Env).toContain('PORT=5000')
    await exec('grep', ['-c', 'a-secret-value', at('one.tar')], { accept: [1] })
  })

  test('of an older release is had by its number, and is not written to a terminal', async () => {
    await exportTo('old.tar', ...overSsh(), 'v1')
    const { stdout } = await exec('tar', ['-xOf', at('old.tar'), 'index.json'])
    expect(JSON.parse(stdout).manifests[0].annotations).toMatchObject({ 'paas.release': 'v1' })
    const none = await paas.ssh(['images:export', 'shop', 'v9'])
    expect([none.code, none.stdout]).toEqual([1, ''])
    expect(none.stderr).toContain('shop has no release "v9"')
  })
})

test('two builds of the same commit, each from the beginning, are one image', async () => {
  const scripts = { start: 'node server.js', build: 'mkdir -p dist && echo built > dist/it' }
  const files = { ...nodeApp('twice'), 'package.json': JSON.stringify({ name: 'app', scripts }) }
  await paas.push('twice', await paas.tree('twice', files))
  const first = await digestOf('twice', 'first.tar')
  expect((await paas.ssh(['ps:rebuild', 'twice', '--no-cache'])).out).toContain('build new')
  expect(await digestOf('twice', 'second.tar')).toBe(first)
  const { stdout } = await paas.ssh(['releases:diff', 'twice', 'v1', 'v2'])
  expect(stdout).toContain('made anew, with the same files')
}, 180_000)

describe.skipIf(!hasTools)('an image from elsewhere, where skopeo and umoci are,', () => {
  test('that paas made itself answers as the app it was, with its process types', async () => {
    await paas.ssh(['apps:create', 'copy'])
    const { code, stdout } = await load('copy', 'one.tar')
    expect(stdout).toMatch(/-----> Taking image[^]*=====> copy v1 deployed\n {7}http/)
    expect(code).toBe(0)
    expect((await paas.get('copy')).body).toBe('hello image')
    const list = await paas.ssh(['releases', 'copy'])
    expect(list.stdout).toMatch(/v1 +current +Deploy image [0-9a-f]{12} +tester/)
  })

  test('re-uses every layer when it comes again, also as what docker saves, with gzip', async () => {
    const tiny = { Dockerfile: 'FROM scratch\nCOPY Procfile /\n', Procfile: 'worker: true\n' }
    expect((await paas.push('tiny', await paas.tree('tiny', tiny))).code).toBe(0)
    await exportTo('tiny.tar', ...overSsh('tiny'))
    await paas.ssh(['apps:create', 'small'])
    expect((await load('small', 'tiny.tar')).code).toBe(0)
    const to = `docker-archive:${at('docker.tar')}:tiny:latest`
    await exec('skopeo', ['copy', `oci-archive:${at('tiny.tar')}`, to])
    await exec('gzip', [at('docker.tar')])
    const { code, stdout } = await load('small', 'docker.tar.gz', 'images:import')
    expect([code, stdout]).toEqual([0, expect.stringMatching(/Layers: 0 new, 1 re-used/)])
  })

  test('runs as it says: words, user, directory, port and environment', async () => {
    const image = `${at('layout')}:shop`
    const root = join(at('bundle'), 'rootfs')
    mkdirSync(join(root, 'srv/it'), { recursive: true })
    writeFileSync(join(root, 'srv/it/serve.pl'), foreignServer)
    rmSync(join(root, 'app/index.html'))
    await umoci('repack', '--image', image, at('bundle'))
    const words = ['perl', 'serve.pl', 'two words', '$HOME;x']
    const settings = ['user=www-data', 'workingdir=/srv/it', 'exposedports=80', 'env=COLOUR=a b']
    const more = [...words.map((word) => `cmd=${word}`), 'volume=/data', 'entrypoint=/usr/bin/env']
    const flags = [...settings, ...more].map((setting) => `--config.${setting}`)
    await umoci('config', '--image', image, ...flags)
    await exec('tar', ['-cf', at('foreign.tar'), '-C', at('layout'), '.'])
    const { stdout, stderr } = await load('copy', 'foreign.tar')
    expect(stdout).toMatch(/Layers: 1 new, \d+ re-used/)
    expect(stdout).toContain('In /srv/it as 33, on port 80')
    expect(stderr).toContain('The image calls /data a volume')
    const said = (await paas.get('copy')).body.split('\n')
    expect(said).toEqual(['two words|$HOME;x', '/srv/it', '33', '80', 'a b', '/app', 'removed'])
    const run = await paas.ssh(['run', 'copy', 'sh', '-c', "'id -u; pwd; cat /proc/self/status'"])
    expect(run.stdout).toMatch(/^33\n\/srv\/it\n[^]*CapEff:\t0+\n/)
  })

  test('that says root may do to its own files and users what images do first', async () => {
    const settings = ['user=root', 'workingdir=/', 'cmd=perl', 'cmd=/srv/it/serve.pl']
    const flags = settings.map((setting) => `--config.${setting}`)
    await umoci('config', '--image', `${at('layout')}:shop`, ...flags)
    await exec('tar', ['-cf', at('root.tar'), '-C', at('layout'), '.'])
    expect((await load('copy', 'root.tar')).stdout).toContain('as root of its own container')
    expect((await paas.get('copy')).body).toMatch(/^\n\/\n0\n80\n/)
    const script = `touch /tmp/x && chown 33 /tmp/x && setpriv --reuid 33 --clear-groups stat -c %u /tmp/x
      mount -t tmpfs x /mnt || echo refused; grep CapEff /proc/self/status`
    const run = await paas.ssh(['run', 'copy', 'sh', '-c', `'${script}'`])
    expect(run.stdout).toMatch(/^33\nrefused\nCapEff:\t00000000000000fb\n$/)
  })

  test('that is none, or that cannot start, changes nothing', async () => {
    writeFileSync(at('none.tar'), Buffer.alloc(4096, 'x'))
    const none = await load('copy', 'none.tar')
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('cannot be read')])
    const wrong = ['--config.cmd=no-such-program', '--config.entrypoint=/nowhere']
    await exec('umoci', ['config', '--image', `${at('layout')}:shop`, ...wrong])
    await exec('tar', ['-cf', at('wrong.tar'), '-C', at('layout'), '.'])
    expect((await load('copy', 'wrong.tar')).code).toBe(1)
    expect((await paas.get('copy')).status).toBe(200)
    expect(readdirSync(paths(paas.config).making)).toEqual([])
  })
})

describe.skipIf(!canRunDocker)('a Docker engine, where one can be started,', () => {
  test('runs the export unchanged, and what it saves is taken back', async () => {
    await exportTo('engine.tar', ...overSsh())
    await using engine = await startDocker(at('docker'))
    expect(await engine.docker('load', '--input', at('engine.tar'))).toContain('shop:v2')
    await engine.docker('run', '--detach', '--network=host', '--name=shop', 'shop:v2')
    await until('an answer', async () => (await engine.get(5000)) === 'hello image', 60_000)
    await engine.docker('rm', '--force', 'shop')
    await engine.docker('save', '--output', at('saved.tar'), 'shop:v2')
    await paas.ssh(['apps:create', 'back'])
    const { code, stderr } = await load('back', 'saved.tar')
    expect([code, stderr]).toEqual([0, ''])
    expect((await paas.get('back')).body).toBe('hello image')
  }, 240_000)
})

describe('releases:diff', () => {
  test('lists files by layer, keys of config, and settings', async () => {
    await paas.ssh(['storage:create', 'data'])
    await paas.ssh(['storage:mount', 'shop', 'data:/data'])
    await rm(at('shop/index.html'))
    const files = { 'home/index.html': 'moved', Staticfile: 'root: home\n', 'a file': 'x' }
    await paas.push('shop', await paas.tree('shop', files))
    const { stdout, code } = await paas.ssh(['releases:diff', 'shop', 'v1'])
    expect(code).toBe(0)
    const lines = stdout.split('\n').map((line) => line.trim())
    expect(lines).toEqual(
      expect.arrayContaining([
        '-----> shop v1 to v4',
        '+ app/Staticfile',
        '+ app/a file',
        '+ app/home',
        '+ app/home/index.html',
        '- app/index.html',
        'config:',
        '+ API_TOKEN',
        'mounts:',
        '/data: (none) → data',
      ]),
    )
    expect(stdout).not.toContain('a-secret-value')
    expect(stdout).toMatch(/app: source [0-9a-f]{7} → source [0-9a-f]{7}/)
  })

  test('of a release with itself says that nothing differs', async () => {
    expect((await paas.ssh(['releases:diff', 'shop', 'v1', 'v1'])).stdout).toContain('Nothing')
    expect((await paas.ssh(['releases:diff', 'shop', 'v1', 'v77'])).code).toBe(1)
    expect((await paas.ssh(['releases:diff', 'shop'])).code).toBe(2)
  })
})

/** Answers with what it finds; Debian has perl everywhere, and little else. */
const foreignServer = `use IO::Socket::INET;
use Cwd;
my $removed = -e '/app/index.html' ? 'there' : 'removed';
my $body = join "\\n", join('|', @ARGV), getcwd(), $<, @ENV{qw(PORT COLOUR HOME)}, $removed;
my $server = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 9, ReuseAddr => 1) or die $!;
while (my $client = $server->accept) {
  while (my $line = <$client>) { last if $line =~ /^\\s*$/ }
  my $head = join "\\r\\n", 'HTTP/1.1 200 OK', 'Content-Length: ' . length $body, 'Connection: close';
  print $client "$head\\r\\n\\r\\n$body";
  close $client;
}
`

/** What an export of the app is called by its content. */
async function digestOf(app: string, file: string): Promise<string> {
  await exportTo(file, ...overSsh(app))
  const { stdout } = await exec('tar', ['-xOf', at(file), 'index.json'])
  rmSync(at(file))
  return JSON.parse(stdout).manifests[0].digest
}
