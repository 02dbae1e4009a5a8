import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { extractCommit, readTreeId } from '../../builder/source/checkout.ts'
import { parseChanges } from '../../builder/source/unchanged.ts'
import { exec } from '../../core/exec.ts'
import { makeRepo, type Repo, temporaryConfig } from './support.ts'

const temporary = temporaryConfig()
const { config } = temporary
afterAll(() => temporary[Symbol.asyncDispose]())

const { signal } = new AbortController()
const many = Object.fromEntries(
  Array.from({ length: 300 }, (_, index) => [`many/${index}`, `${index}`]),
)

let repo: Repo
beforeAll(async () => {
  repo = await makeRepo(config, 'linked')
})

/** Extracts a commit with these files, linked to an earlier tree when one is given. */
async function extract(
  files: Record<string, string | undefined>,
  earlier?: { treeId: string; dir: string },
) {
  const commit = await repo.commit(files)
  const dir = mkdtempSync(join(config.home, 'tree-'))
  await extractCommit(commit, dir, signal, { earlier })
  return { dir, treeId: await readTreeId(commit, signal) }
}

function inode(dir: string, path: string): number {
  return statSync(join(dir, path)).ino
}

async function listing(dir: string): Promise<string> {
  const format = '%y %m %U %p %l\n'
  const args = [dir, '-mindepth', '1', '-printf', format.replace('%p', '%P')]
  return (await exec('find', args)).stdout.split('\n').sort().join('\n')
}

test('A tree that differs in little is links but for what differs, and equal to one written anew', async () => {
  const before = await extract({
    ...many,
    changed: 'old',
    'dir/only': 'x',
    becomesDir: 'file',
    'becomesFile/a': 'x',
    "odd [name]* 'x'": 'odd',
  })
  await repo.git('rm', '-q', '--cached', '-r', 'becomesFile', 'becomesDir')
  rmSync(join(repo.dir, 'becomesFile'), { recursive: true })
  rmSync(join(repo.dir, 'becomesDir'))
  const edits = {
    changed: 'new',
    added: 'y',
    'dir/only': undefined,
    'becomesDir/a': 'z',
    becomesFile: 'z',
    "odd [name]* 'x'": 'odder',
  }
  const linked = await extract(edits, before)
  const anew = await extract({})
  expect(linked.treeId).toBe(anew.treeId)
  expect(await listing(linked.dir)).toBe(await listing(anew.dir))
  const { stdout } = await exec('diff', ['-r', linked.dir, anew.dir])
  expect(stdout).toBe('')

  expect(inode(linked.dir, 'many/7')).toBe(inode(before.dir, 'many/7'))
  expect(inode(linked.dir, 'changed')).not.toBe(inode(before.dir, 'changed'))
  expect(readFileSync(join(before.dir, 'changed'), 'utf8')).toBe('old')
  expect(existsSync(join(linked.dir, 'dir'))).toBe(false)
  expect(lstatSync(join(linked.dir, 'becomesDir')).isDirectory()).toBe(true)
})

test('An earlier tree that the repository has lost is no hindrance', async () => {
  const before = await extract(many)
  const lost = { ...before, treeId: '0123456789'.repeat(4) }
  const written = await extract({ changed: 'again' }, lost)
  expect(readFileSync(join(written.dir, 'changed'), 'utf8')).toBe('again')
  expect(statSync(join(written.dir, 'many/7')).nlink).toBe(1)
})

test('A Git LFS pointer among what differs is still found', async () => {
  const before = await extract(many)
  const pointer = `version https://git-lfs.github.com/spec/v1
oid sha256:${'a'.repeat(64)}
size 123456
`
  await expect(extract({ 'big.bin': pointer }, before)).rejects.toThrow(
    'big.bin is a Git LFS pointer',
  )
})

test('The raw list of changes is read with its modes and odd paths', () => {
  const text = `:100644 120000 aaaa bbbb T\0a link\0:000000 160000 0000 cccc A\0lib\n2\0`
  expect(parseChanges(text)).toEqual([
    { status: 'T', modes: ['100644', '120000'], path: 'a link' },
    { status: 'A', modes: ['000000', '160000'], path: 'lib\n2' },
  ])
})
