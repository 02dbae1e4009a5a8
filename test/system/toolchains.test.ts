import { cp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { paths } from '../../core/names.ts'
import { type Paas, startPaas } from './instance.ts'

let paas: Paas
beforeAll(async () => {
  paas = await startPaas({ PAAS_READY_TIMEOUT: '60' })
}, 300_000)
afterAll(() => paas[Symbol.asyncDispose]())

/** Trees with what each answers, and what its image has for it: never a compiler. */
const served: [tree: string, answer: RegExp, packages: RegExp][] = [
  ['java-maven', /^hello from Java 21, heap [23]\d\d MB\n$/, /^openjdk-21-jre-headless$/],
  ['rust-plain', /^hello from Rust\n$/, /^$/],
  ['elixir-plain', /^hello from Elixir 1\.\d+/, /^libncurses6 libsctp1 libssl3t64 [^ ]+ zlib1g$/],
]

test.each(served)(
  '%s is pushed, built and answers without its compiler',
  async (...row) => {
    const [tree, answer, packages] = row
    const dir = await treeOf(tree)
    const push = await paas.push(tree, dir)
    expect(push.code, push.out).toBe(0)
    expect((await paas.get(tree)).body).toMatch(answer)

    const { stdout } = await paas.ssh(['builds:plan', tree])
    const plan: { apt: { layer: string; packages: string[] }[]; layers: { key: string }[] } =
      JSON.parse(stdout)
    const keys = new Set(plan.layers.map(({ key }) => key))
    const inImage = plan.apt.find(({ layer }) => keys.has(layer))
    expect(inImage?.packages.join(' ') ?? '').toMatch(packages)
  },
  900_000,
)

const restored: [tree: string, file: string, built: string][] = [
  ['rust-plain', 'src/main.rs', '-----> cargo build'],
  ['elixir-plain', 'lib/shop.ex', '-----> mix release'],
]

test.each(restored)(
  '%s put back as it was is compiled as it was',
  async (tree, file, built) => {
    const dir = join(paas.base, tree)
    const text = await readFile(join(dir, file), 'utf8')
    const other = await paas.push(
      tree,
      await paas.tree(tree, { [file]: text.replace('hello', 'HELLO') }),
    )
    expect(other.code, other.out).toBe(0)
    expect((await paas.get(tree)).body).toContain('HELLO')
    // The tree of the first push again, whose files are older than what was compiled since: what
    // was made of it then is gone, what the compiler keeps is not.
    const info = await paas.ssh(['releases:info', tree, 'v1', '--json'])
    const layers: { kind: string; key: string }[] = JSON.parse(info.stdout).layers
    for (const { key } of layers.filter(({ kind }) => kind === 'build')) {
      await rm(join(paths(paas.config).layers, key), { recursive: true })
    }
    const again = await paas.push(tree, await paas.tree(tree, { [file]: text }))
    expect([again.code, again.out]).toEqual([0, expect.stringContaining(built)])
    expect((await paas.get(tree)).body).toContain('hello')
  },
  300_000,
)

test('Buildpacks run in order, with cache and config; what they say is run', async () => {
  const dir = await treeOf('buildpacks-own')
  await paas.ssh(['apps:create', 'packs'])
  await paas.ssh(['config:set', 'packs', 'TONE=warm'])
  const push = await paas.push('packs', dir)
  expect(push.code, push.out).toBe(0)
  expect(push.out).toMatch(
    /=====> Greeting \(\.\/packs\/greet\)[^]*=====> Serving \(\.\/packs\/serve\)/,
  )
  expect(push.out).toContain('Greeting: cache empty')
  expect(push.out).toContain('TONE in the environment: no')
  expect(push.out).toContain('web: perl server.pl (bin/release of the buildpacks)')
  expect((await paas.get('packs')).body).toBe('hello from a buildpack, tone warm, blue\n')
  // .profile.d is read for one-off processes too.
  const run = await paas.ssh(['run', 'packs', 'printenv', 'GREETING'])
  expect(run.stdout).toBe('hello from a buildpack\n')

  const again = await paas.push('packs', await paas.tree('buildpacks-own', { 'a.txt': 'a' }))
  expect(again.out).toContain('Greeting: cache 1')
}, 600_000)

test('A buildpack is fetched over ssh; one that does not fit is an error', async () => {
  const pack = await paas.tree('pack', {})
  await cp(join(import.meta.dirname, '../apps/buildpacks-own/packs/greet'), pack, {
    recursive: true,
  })
  await paas.tree('pack', { 'README.md': 'A buildpack' })
  await paas.ssh(['apps:create', 'pack'])
  await paas.ssh(['git:set', 'pack', 'deploy-branch', 'none'])
  await paas.push('pack', pack)
  const { stdout: key } = await paas.ssh(['git:public-key'])
  await paas.ssh(['keys:add', 'itself'], key)

  const address = `ssh://paas@127.0.0.1:${paas.config.sshPort}/pack#main`
  const set = await paas.ssh(['buildpacks:set', 'packs', './packs/serve'])
  expect(set.stdout).toContain('1. ./packs/serve')
  const added = await paas.ssh(['buildpacks:add', 'packs', address, '--index', '1'])
  expect(added.stdout).toContain(`1. ${address}\n2. ./packs/serve\n`)
  const dir = await paas.tree('buildpacks-own', { 'greeting.txt': 'changed' })
  const push = await paas.push('packs', dir)
  expect(push.code, push.out).toBe(0)
  expect(push.out).toContain('Buildpacks detected (buildpacks:set)')
  expect(push.out).toMatch(/buildpack-1 [0-9a-f]{7} \(ssh:/)
  expect((await paas.get('packs')).body).toBe('changed, tone warm, blue\n')

  await rm(join(dir, 'greeting.txt'))
  const other = await paas.push('packs', await paas.tree('buildpacks-own', {}))
  expect(other.code).not.toBe(0)
  expect(other.out).toContain('bin/detect says that it does not fit this app')
  expect((await paas.get('packs')).body).toBe('changed, tone warm, blue\n')

  const removed = await paas.ssh(['buildpacks:remove', 'packs', address])
  expect(removed.stdout).toContain('1. ./packs/serve')
  const wrong = await paas.ssh(['buildpacks:add', 'packs', 'http://x.example'])
  expect(wrong.stderr).toContain('is no address of a buildpack')
  await paas.ssh(['buildpacks:clear', 'packs'])
  const list = await paas.ssh(['buildpacks:list', 'packs', '--json'])
  expect(JSON.parse(list.stdout)).toEqual([])
}, 600_000)

async function treeOf(name: string): Promise<string> {
  const dir = await paas.tree(name, {})
  await cp(join(import.meta.dirname, '../apps', name), dir, { recursive: true })
  return paas.tree(name, { 'notes.txt': 'pushed' })
}
