import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  checkTree,
  type Commit,
  extractCommit,
  nothing,
  parseTree,
  readTreeId,
} from '../../builder/source/checkout.ts'
import { extractTree } from '../../builder/source/submodules.ts'
import { linkUnchanged } from '../../builder/source/unchanged.ts'
import { limits, type PaasConfig, readConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { makeRepo } from './support.ts'

let home = ''
let config: PaasConfig
const { signal } = new AbortController()

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'paas-checkout-'))
  config = readConfig({ PAAS_HOME: home })
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

test('The listing of git is read with its odd names', () => {
  const text = '100644 blob 0123      12\ta b\n.txt\x00120000 blob 4567       3\tlink\x00'
  expect(parseTree(text)).toEqual([
    { mode: '100644', sha: '0123', bytes: 12, path: 'a b\n.txt' },
    { mode: '120000', sha: '4567', bytes: 3, path: 'link' },
  ])
})

test('Too many files and too many bytes are refused before anything is written', () => {
  const entry = { mode: '100644', sha: '0123', bytes: 1, path: 'a' }
  const many = Array.from({ length: limits.treeEntries + 1 }, () => entry)
  expect(() => checkTree(many, nothing())).toThrow('50001 files: at most 50000 are taken')
  const large = { ...entry, bytes: limits.treeBytes + 1024 * 1024 }
  const mebibytes = '2049 MiB of files'
  const most = ': at most 2048 MiB are taken'
  expect(() => checkTree([large], nothing())).toThrow(`${mebibytes}${most}`)
  const half = { ...entry, bytes: large.bytes / 2 }
  const taken = { ...nothing(), modules: 1 }
  checkTree([half], taken)
  expect(() => checkTree([half], taken)).toThrow(`${mebibytes} with its submodules${most}`)
  expect(() => parseTree('100644 blob 0123 12\tcut of')).toThrow('too large to build')
})

test('The same files have the same tree, whatever the commit', async () => {
  const repo = await makeRepo(config, 'same')
  const one = await repo.commit({ a: '1' })
  const two = await repo.commit({})
  expect(one.commit).not.toBe(two.commit)
  expect(await readTreeId(one, signal)).toBe(await readTreeId(two, signal))
})

test('Executable files stay so, and names keep every byte', async () => {
  const repo = await makeRepo(config, 'names')
  const names = ['-rf', 'a b', 'ä\n$(x)', 'run.sh']
  const files = Object.fromEntries(names.map((name) => [name, name]))
  mkdirSync(repo.dir, { recursive: true })
  await repo.commit(files)
  chmodSync(join(repo.dir, 'run.sh'), 0o755)
  const into = join(home, 'into')
  mkdirSync(into)
  await extractCommit(await repo.commit(), into, signal)
  expect(readdirSync(into).sort()).toEqual(names.sort())
  const { stdout } = await exec('stat', ['--format=%a %u', join(into, 'run.sh'), join(into, 'a b')])
  expect(stdout).toBe('755 32767\n644 32767\n')
})

test('What attributes leave out of an archive is there, though a full disk cut ours short', async () => {
  const repo = await makeRepo(config, 'attributes')
  const files = { '.gitattributes': 'kept.txt export-ignore\n', 'kept.txt': 'kept' }
  const commit = await repo.commit(files)
  writeFileSync(join(commit.repo, 'info/attributes'), '')
  const into = join(home, 'into')
  mkdirSync(into)
  await extractCommit(commit, into, signal)
  expect(readdirSync(into).sort()).toEqual(['.gitattributes', 'kept.txt'])
})

test('Submodules are counted over all levels of a tree', async () => {
  const lib = await makeRepo(config, 'lib')
  const inner = await withModules('inner', 50, await lib.commit({ file: 'text' }))
  const outer = await withModules('outer', 60, inner)
  const ssh = join(home, 'ssh')
  writeFileSync(ssh, '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n', { mode: 0o755 })
  const place = { into: join(home, 'into'), scratch: join(home, 'scratch') }
  mkdirSync(place.into)
  await expect(extractTree({ ...outer, ssh: async () => ssh }, place, signal)).rejects.toThrow(
    'The git submodules are 110: at most 100, 4 deep',
  )
})

/** A repository with so many submodules, all of them the same commit. */
async function withModules(name: string, count: number, of: Commit): Promise<Commit> {
  const repo = await makeRepo(config, name)
  const places = Array.from({ length: count }, (_, index) => `lib-${index}`)
  const modules = places.map((path) => {
    return `[submodule "${path}"]\n\tpath = ${path}\n\turl = ssh://localhost${of.repo}\n`
  })
  await repo.commit({ '.gitmodules': modules.join('') })
  const links = places.flatMap((path) => ['--cacheinfo', `160000,${of.commit},${path}`])
  await repo.git('update-index', '--add', ...links)
  await repo.git('commit', '--quiet', '--message', 'Modules')
  return { repo: join(repo.dir, '.git'), gitEnv: {}, commit: await repo.git('rev-parse', 'HEAD') }
}

test('Nothing is removed through a link that a broken earlier tree holds', async () => {
  const outside = join(home, 'outside')
  mkdirSync(outside)
  writeFileSync(join(outside, 'file'), 'precious')
  const earlier = join(home, 'earlier')
  mkdirSync(earlier)
  symlinkSync(outside, join(earlier, 'door'))
  const into = join(home, 'into')
  mkdirSync(into)
  const changes = [{ status: 'D', modes: ['100644', '000000'], path: 'door/file' } as const]
  const linked = linkUnchanged({ treeId: '', dir: earlier }, changes, into, signal)
  await expect(linked).rejects.toThrow('leads out of its tree')
  expect(existsSync(join(outside, 'file'))).toBe(true)
})

test('A tree that git itself would refuse writes nothing outside its directory', async () => {
  const repo = await makeRepo(config, 'hostile')
  await repo.commit({ a: '1' })
  const git = async (input: string, ...args: string[]) => {
    return (await exec('git', args, { cwd: repo.dir, input })).stdout.trim()
  }
  const outside = join(home, 'outside')
  mkdirSync(outside, { mode: 0o777 })
  chmodSync(outside, 0o777)
  const link = await git(outside, 'hash-object', '-w', '--stdin')
  const file = await git('text', 'hash-object', '-w', '--stdin')
  const inner = await git(`100644 blob ${file}\tescaped\n`, 'mktree')
  // The link and a directory of its name, which tar would write the file through.
  const tree = await git(`120000 blob ${link}\tdoor\n040000 tree ${inner}\tdoor\n`, 'mktree')
  const who = ['-c', 'user.name=Tester', '-c', 'user.email=tester@example.com']
  const commit = await git('', ...who, 'commit-tree', '-m', 'hostile', tree)
  const into = join(home, 'into')
  mkdirSync(into)
  const request = { repo: join(repo.dir, '.git'), gitEnv: {}, commit }
  await extractCommit(request, into, signal).catch(() => {})
  expect(existsSync(join(outside, 'escaped'))).toBe(false)
})
