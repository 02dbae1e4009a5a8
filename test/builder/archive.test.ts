import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ArchiveType, commitArchive } from '../../builder/import/archive.ts'
import { parseRemote } from '../../builder/import/remote.ts'
import { exec } from '../../core/exec.ts'
import { tarOf } from './tarball.ts'

const base = mkdtempSync(join(tmpdir(), 'paas-archive-'))
const repo = join(base, 'repo.git')
const { signal } = new AbortController()
const env = { PATH: process.env.PATH ?? '' }

beforeAll(async () => {
  await exec('git', ['init', '-q', '--bare', repo])
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

/** What `git ls-tree` says of the commit that is made of an archive. */
async function treeOf(bytes: Buffer, type?: ArchiveType): Promise<string[]> {
  const file = join(base, 'archive')
  writeFileSync(file, bytes)
  const request = { file, type, repo, parent: undefined, message: 'Archive', env }
  const { ref } = await commitArchive(request, signal)
  await exec('git', [`--git-dir=${repo}`, 'fsck', '--strict'])
  const { stdout } = await exec('git', [`--git-dir=${repo}`, 'ls-tree', '-r', ref])
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.replace(/ blob \w+\t/, ' '))
}

async function textAt(path: string): Promise<string> {
  return (await exec('git', [`--git-dir=${repo}`, 'show', `refs/heads/import:${path}`])).stdout
}

/** A directory with an executable, a link, a long name and an odd one. */
function sampleTree(): string {
  const dir = mkdtempSync(join(base, 'tree-'))
  const long = join(dir, 'shop-1.0', 'd'.repeat(90), 'e'.repeat(90))
  mkdirSync(long, { recursive: true })
  writeFileSync(join(long, 'file'), 'deep')
  writeFileSync(join(dir, 'shop-1.0', 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
  writeFileSync(join(dir, 'shop-1.0', '"quoted" é.txt'), 'x'.repeat(100_000))
  symlinkSync('run.sh', join(dir, 'shop-1.0', 'link'))
  return dir
}

const expected = [
  expect.stringMatching(/^100644 "\\"quoted\\" /),
  `100644 ${'d'.repeat(90)}/${'e'.repeat(90)}/file`,
  '120000 link',
  '100755 run.sh',
]

describe('an archive becomes a commit', () => {
  test.each([
    ['tar', ['--format=gnu']],
    ['tar', ['--format=pax']],
    ['tar.gz', ['--format=gnu', '--gzip']],
  ] as const)('from %s %j, without the directory that all lies in', async (type, options) => {
    const file = join(base, 'made')
    await exec('tar', ['--create', `--file=${file}`, ...options, '-C', sampleTree(), '.'])
    expect(await treeOf(readFileSync(file), type)).toEqual(expected)
    expect(await textAt('link')).toBe('run.sh')
  })

  test('from a zip', async () => {
    const script = `import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:
    for root, dirs, names in os.walk(sys.argv[2]):
        for name in names:
            path = os.path.join(root, name)
            info = zipfile.ZipInfo(os.path.relpath(path, sys.argv[2]))
            info.create_system = 3
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = os.lstat(path).st_mode << 16
            data = os.readlink(path) if os.path.islink(path) else open(path, 'rb').read()
            z.writestr(info, data)`
    const file = join(base, 'made.zip')
    await exec('python3', ['-c', script, file, sampleTree()])
    expect(await treeOf(readFileSync(file), 'zip')).toEqual(expected)
    expect(await textAt('link')).toBe('run.sh')
  })

  test('from a zip that is not compressed, with an empty file in it', async () => {
    const file = join(base, 'stored.zip')
    const script = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_STORED) as z:
    z.writestr('empty', '')
    z.writestr('full', 'x')`
    await exec('python3', ['-c', script, file])
    expect(await treeOf(readFileSync(file), 'zip')).toEqual(['100644 empty', '100644 full'])
    expect([await textAt('empty'), await textAt('full')]).toEqual(['', 'x'])
  })

  test('with hard links as the files they are, and what comes twice as what came last', async () => {
    const entries = [
      { name: 'a', body: 'one' },
      { name: 'b', type: '1', link: 'a' },
      { name: 'c', body: 'old' },
      { name: 'c', body: 'new' },
    ]
    expect(await treeOf(tarOf(entries))).toEqual(['100644 a', '100644 b', '100644 c'])
    expect(await textAt('b')).toBe('one')
    expect(await textAt('c')).toBe('new')
  })
})

describe('an archive is refused', () => {
  test.each([
    ['that leads out', [{ name: '../evil' }], 'leads out of the archive'],
    ['that leads out in the middle', [{ name: 'a/../../evil' }], 'leads out of the archive'],
    ['with an absolute path', [{ name: '/etc/passwd' }], 'is an absolute path'],
    ['with a device', [{ name: 'null', type: '3' }], '"null" is a device'],
    ['with a named pipe', [{ name: 'pipe', type: '6' }], '"pipe" is a named pipe'],
    ['with a hook', [{ name: '.git/hooks/x' }], 'is a part of git’s own'],
    ['with a hook in disguise', [{ name: 'a/.GIT/config' }], 'is a part of git’s own'],
    [
      'with a link that leads out',
      [{ name: 'a/link', type: '2', link: '../../etc/passwd' }, { name: 'b' }],
      'leads out of it',
    ],
    ['with an absolute link', [{ name: 'link', type: '2', link: '/etc' }], 'leads out of it'],
    [
      'with a hard link to the host',
      [{ name: 'l', type: '1', link: 'etc/passwd' }],
      'does not have',
    ],
    ['that is cut short', [{ name: 'a', body: 'x', size: 100_000 }], 'ends in the middle'],
    [
      'with more than a disk has',
      [{ name: 'a', body: 'x', size: 8_000_000_000 }],
      'more than 2048 MiB',
    ],
    ['with nothing in it', [], 'it has no files'],
  ])('%s', async (_what, entries, why) => {
    const head = entries.length === 0 ? [{ name: 'only-a-directory/', type: '5' }] : []
    await expect(treeOf(tarOf([...head, ...entries]))).rejects.toThrow(why)
  })

  test('when it is no archive, or another than was said', async () => {
    const gzip = gzipSync(tarOf([{ name: 'a' }]))
    await expect(treeOf(Buffer.from('hello'))).rejects.toThrow('no archive that paas reads')
    await expect(treeOf(gzip, 'zip')).rejects.toThrow('The archive is a tar.gz, not a zip')
    await expect(treeOf(gzip.subarray(0, -12))).rejects.toThrow('it is damaged')
    const broken = tarOf([{ name: 'a', body: 'x' }])
    broken.write('999', 124)
    await expect(treeOf(broken)).rejects.toThrow('the checksum of an entry is wrong')
  })

  test('when it unpacks to more than it says, as a zip bomb does', async () => {
    const script = `import sys, zipfile, struct
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:
    z.writestr('bomb', b'0' * 10_000_000)
data = bytearray(open(sys.argv[1], 'rb').read())
at = data.rindex(b'PK\\x01\\x02')
data[at + 24:at + 28] = struct.pack('<I', 10)
open(sys.argv[1], 'wb').write(data)`
    const file = join(base, 'bomb.zip')
    await exec('python3', ['-c', script, file])
    await expect(treeOf(readFileSync(file))).rejects.toThrow('"bomb" is larger than it says')
  })
})

describe('an address of a repository', () => {
  test.each([
    ['https://example.com/shop.git', 'https://example.com/shop.git'],
    ['https://me:secret@example.com/shop', 'https://***@example.com/shop'],
    ['git@example.com:shop.git', 'ssh://git@example.com/shop.git'],
    ['ssh://git@example.com:2222/shop', 'ssh://git@example.com:2222/shop'],
  ])('%s is shown as %s', (text, shown) => {
    expect(parseRemote(text).shown).toBe(shown)
  })

  test.each([
    '/etc',
    'file:///etc',
    '../shop',
    'ext::sh -c id',
    'http://example.com/shop',
    'git://example.com/shop',
    'ssh://-oProxyCommand=id/x',
    '-oProxyCommand=id@host:x',
    'https://example.com/a\nb',
    'https://example.com/"x"',
  ])('%j is not taken', (text) => {
    expect(() => parseRemote(text)).toThrow('is not fetched')
  })
})
