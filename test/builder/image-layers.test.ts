import { createHash } from 'node:crypto'
import { chmodSync, chownSync, linkSync, lstatSync, mkdirSync, mkdtempSync } from 'node:fs'
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { compareDirectories } from '../../builder/image/compare.ts'
import { opaqueAttribute } from '../../builder/image/inodes.ts'
import { layerTar } from '../../builder/image/layer-tar.ts'
import type { Unpacked } from '../../builder/image/layer-work.ts'
import { readMerged } from '../../builder/image/merged.ts'
import { padding, tarEnd, type TarEntry, tarHeader } from '../../builder/image/tar-header.ts'
import { unpackLayer } from '../../builder/image/unpack.ts'
import { exec } from '../../core/exec.ts'
import * as inodes from '../../runner/inodes.ts'

const base = mkdtempSync(join(tmpdir(), 'paas-layers-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

let count = 0
const newDir = () => {
  const dir = join(base, String(++count))
  mkdirSync(dir)
  return dir
}
const tarOf = (dir: string) => Buffer.concat([...layerTar(dir, inodes)])
const sha = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** A directory with one of everything that a layer may hold. */
function everything(): string {
  const dir = newDir()
  const file = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
    chmodSync(join(dir, path), mode)
  }
  file('usr/bin/tool', '#!/bin/sh\n', 0o4755)
  file('app/empty', '')
  file('app/größe ünd mehr', 'umlaut')
  file(`app/${'long/'.repeat(30)}${'name'.repeat(30)}`, 'long name')
  file(`app/${'x'.repeat(140)}`, 'no slash to split at')
  file('app/large', 'y'.repeat(700_000))
  linkSync(join(dir, 'app/large'), join(dir, 'app/second name'))
  symlinkSync('large', join(dir, 'app/link'))
  symlinkSync(`/${'far/'.repeat(60)}away`, join(dir, 'app/long link'))
  mkdirSync(join(dir, 'tmp'))
  chmodSync(join(dir, 'tmp'), 0o1777)
  chownSync(join(dir, 'app'), 32767, 32767)
  inodes.setAttribute(Buffer.from(join(dir, 'app/empty')), 'user.note', Buffer.from('a note'))
  return dir
}

/** Unpacks an archive into a new directory upon others. */
async function unpack(
  bytes: Buffer,
  given: { lowers?: string[]; dir?: string; most?: number; diffId?: string } = {},
): Promise<{ dir: string } & Unpacked> {
  const [dir, file] = [given.dir ?? newDir(), join(base, `blob-${++count}`)]
  writeFileSync(file, bytes)
  const job = { file, dir, lowers: given.lowers ?? [], entriesMost: 100 }
  const diffId = given.diffId ?? sha(bytes)
  const done = await unpackLayer({ ...job, diffId, bytesMost: given.most ?? 10_000_000 }, inodes)
  return { dir, ...done }
}

type Item = Partial<TarEntry> & { path: string; text?: string; raw?: string }

/** An archive of anything, also of what no honest program would write. */
function archive(items: Item[]): Buffer {
  const parts = items.flatMap(({ text = '', ...item }) => {
    const entry = { kind: 'file', mode: 0o644, uid: 0, gid: 0, size: text.length, ...item } as const
    return [tarHeader(entry), Buffer.from(text), Buffer.alloc(padding(text.length))]
  })
  return Buffer.concat([...parts, tarEnd])
}
const linkTo = (target: string) => (path: string) => ({ path, kind: 'hardlink', target }) as const

describe('a layer as a tar', () => {
  test('is what GNU tar unpacks to the same files, owners, modes and links', async () => {
    const [dir, out] = [everything(), newDir()]
    writeFileSync(join(base, 'it.tar'), tarOf(dir))
    const args = ['-xpf', join(base, 'it.tar'), '-C', out, '--xattrs', '--xattrs-include=*']
    await exec('tar', args)
    expect(compareDirectories({ before: dir, after: out, most: 100 }, inodes)).toEqual([])
    expect(lstatSync(join(out, 'app/second name')).nlink).toBe(2)
    expect(statSync(join(out, 'app')).mtimeMs).toBe(0)
  })

  test('has the same bytes for equal files, whenever they were made', () => {
    const [one, two] = [everything(), everything()]
    utimesSync(join(two, 'app/large'), 1_000_000, 1_000_000)
    expect(sha(tarOf(one))).toBe(sha(tarOf(two)))
  })

  test('says in the words of OCI what an overlay hides, and leaves devices out', () => {
    const dir = newDir()
    mkdirSync(join(dir, 'app/cleared'), { recursive: true })
    inodes.setAttribute(Buffer.from(join(dir, 'app/cleared')), opaqueAttribute, Buffer.from('y'))
    inodes.makeWhiteout(Buffer.from(join(dir, 'app/gone')))
    writeFileSync(join(dir, 'app/.wh.forged'), '')
    const names = tarOf(dir)
      .toString('latin1')
      .match(/app[\w./]*/g)
    expect(names).toEqual(['app/', 'app/cleared/', 'app/cleared/.wh..wh..opq', 'app/.wh.gone'])
  })
})

describe('a layer that is unpacked', () => {
  test.each([
    ['plain', (tar: Buffer) => tar],
    ['with gzip', (tar: Buffer) => gzipSync(tar)],
    ['with zstd', (tar: Buffer) => zstdCompressSync(tar)],
  ])('%s is again what was packed', async (_name, compress) => {
    const from = everything()
    const { dir } = await unpack(compress(tarOf(from)), { diffId: sha(tarOf(from)) })
    expect(compareDirectories({ before: from, after: dir, most: 100 }, inodes)).toEqual([])
  })

  test('comes from GNU tar, from pax and from the old format as well', async () => {
    const from = everything()
    for (const format of ['gnu', 'pax']) {
      const xattrs = format === 'pax' ? ['--xattrs'] : []
      const file = join(base, `${format}.tar`)
      await exec('tar', [`--format=${format}`, ...xattrs, '-cf', file, '-C', from, '.'])
      const { dir } = await unpack(readFileSync(file))
      const found = compareDirectories({ before: from, after: dir, most: 100 }, inodes)
      expect([format, found]).toEqual([format, []])
    }
  })

  test('hides of the layers below what it says', async () => {
    const lower = newDir()
    mkdirSync(join(lower, 'etc/old'), { recursive: true })
    for (const name of ['etc/old/a', 'etc/b', 'etc/c']) writeFileSync(join(lower, name), name)
    const text = archive([
      { path: 'etc/.wh.b' },
      { path: 'etc/.wh.never-there' },
      { path: 'etc/old/.wh..wh..opq' },
      { path: 'etc/old/new', text: 'new' },
    ])
    const { dir } = await unpack(text, { lowers: [lower] })
    expect(readdirSync(join(dir, 'etc')).sort()).toEqual(['b', 'old'])
    const dirs = [lower, dir]
    const seen = (path: string) => readMerged({ dirs, path, bytesMost: 100 }, inodes)
    expect(['etc/b', 'etc/c', 'etc/old/a', 'etc/old/new'].map(seen)).toEqual([
      undefined,
      'etc/c',
      undefined,
      'new',
    ])
  })

  test('laid upon others in one directory removes what they brought', async () => {
    const first = [
      { path: 'a', text: 'a' },
      { path: 'd/e', text: 'e' },
    ]
    const { dir } = await unpack(archive(first))
    const second = [
      { path: '.wh.a' },
      { path: 'd', kind: 'directory', mode: 0o755 } as const,
      { path: 'd/new', text: 'n' },
      { path: 'd/.wh..wh..opq' },
    ]
    await unpack(archive(second), { dir })
    expect([readdirSync(dir), readdirSync(join(dir, 'd'))]).toEqual([['d'], ['new']])
  })

  test('follows links of the layers below within the image, and keeps their modes', async () => {
    const lower = newDir()
    mkdirSync(join(lower, 'usr/lib64'), { recursive: true })
    mkdirSync(join(lower, 'tmp'))
    chmodSync(join(lower, 'tmp'), 0o1777)
    symlinkSync('/usr/lib64', join(lower, 'lib64'))
    const text = archive([
      { path: 'lib64/ld.so', text: 'ld' },
      { path: 'tmp/x', text: 'x' },
    ])
    const { dir } = await unpack(text, { lowers: [lower] })
    expect(readFileSync(join(dir, 'usr/lib64/ld.so'), 'utf8')).toBe('ld')
    expect(existsSync(join(dir, 'lib64'))).toBe(false)
    expect(statSync(join(dir, 'tmp')).mode & 0o7777).toBe(0o1777)
  })

  test('never writes through a link of its own out of its directory', async () => {
    const outside = newDir()
    const text = archive([
      { path: 'out', kind: 'symlink', target: outside },
      { path: 'out/file', text: 'x' },
      { path: 'up', kind: 'symlink', target: '../../../../../../../../tmp' },
      { path: 'up/paas-escaped', text: 'x' },
      { path: 'file', kind: 'symlink', target: join(outside, 'target') },
      { path: 'file', text: 'not through the link' },
    ])
    const { dir } = await unpack(text)
    expect(readdirSync(outside)).toEqual([])
    expect(existsSync('/tmp/paas-escaped')).toBe(false)
    expect(readFileSync(join(dir, outside, 'file'), 'utf8')).toBe('x')
    expect(readlinkSync(join(dir, 'up'))).toContain('..')
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('not through the link')
  })

  test('sets no time through a link that came where its directory was', async () => {
    const outside = newDir()
    mkdirSync(join(outside, 'b'))
    const before = statSync(join(outside, 'b'))
    const folders = ['a', 'a/b', 'c'].map((path) => ({ path, kind: 'directory' }) as const)
    const link = { path: 'a', kind: 'symlink', target: outside } as const
    const { dir } = await unpack(archive([...folders, link]))
    expect(readlinkSync(join(dir, 'a'))).toBe(outside)
    expect(statSync(join(outside, 'b')).mtimeMs).toBe(before.mtimeMs)
    expect(statSync(join(dir, 'c')).mtimeMs).toBe(0)
  })

  test.each([
    ['a path with ..', { path: 'a/../../b' }, 'leads out of the image'],
    ['an absolute path', { path: '/etc/passwd' }, 'leads out of the image'],
    ['a hard link out', { path: 'a', kind: 'hardlink', target: '../x' }, 'leads out of the image'],
    ['a hard link to nothing', { path: 'a', kind: 'hardlink', target: 'b' }, 'which is no file'],
    ['a whiteout of ..', { path: 'a/.wh...' }, 'removes no file that can be'],
  ] as const)('is refused for %s', async (_name, item, sentence) => {
    await expect(unpack(archive([item]))).rejects.toThrow(sentence)
  })

  test('has one copy of a file below however often it links to it, and counts that', async () => {
    const lower = newDir()
    for (const name of ['one', 'two']) writeFileSync(join(lower, name), name.repeat(20_000))
    const links = Array.from({ length: 50 }, (_, at) => `link-${at}`).map(linkTo('one'))
    const most = archive(links).length + 60_000
    const { dir, bytes } = await unpack(archive(links), { lowers: [lower], most })
    expect(lstatSync(join(dir, 'link-7'))).toMatchObject({ nlink: 50, size: 60_000 })
    expect([lstatSync(join(lower, 'one')).nlink, bytes]).toEqual([1, most])
    const more = archive([...links.slice(0, 40), linkTo('two')('other')])
    await expect(unpack(more, { lowers: [lower], most })).rejects.toThrow('too large')

    const text = [linkTo('one')('a'), { path: 'a', text: 'new' }, linkTo('one')('b')]
    const replaced = await unpack(archive(text), { lowers: [lower] })
    const [a, b] = ['a', 'b'].map((name) => readFileSync(join(replaced.dir, name), 'utf8'))
    expect([a, b?.length]).toEqual(['new', 60_000])
  })

  test('is refused when it is larger than allowed, damaged, or no archive', async () => {
    const large = archive([{ path: 'a', text: 'x'.repeat(50_000) }])
    await expect(unpack(large, { most: 10_000 })).rejects.toThrow('too large')
    const many = archive(Array.from({ length: 101 }, (_, at) => ({ path: `f${at}` })))
    await expect(unpack(many)).rejects.toThrow('over 100 files')
    await expect(unpack(large, { diffId: sha(many) })).rejects.toThrow('is damaged')
    await expect(unpack(large.subarray(0, 9000))).rejects.toThrow('in the middle of a file')
    await expect(unpack(Buffer.alloc(2048, 'x'))).rejects.toThrow('cannot be read')
    await expect(unpack(gzipSync(large).subarray(0, 60))).rejects.toThrow('decompress')
  })

  test('gives ids that no container has to nobody, and leaves devices out, with a word', async () => {
    const device = tarHeader({ path: 'd', kind: 'fifo', mode: 0o644, uid: 0, gid: 0, size: 0 })
    const file = archive([{ path: 'a', uid: 65_536, gid: 4_000_000 }])
    const { dir, warnings } = await unpack(Buffer.concat([device, file]))
    expect(lstatSync(join(dir, 'a'))).toMatchObject({ uid: 65_534, gid: 65_534 })
    expect([readdirSync(dir), warnings.length]).toEqual([['a'], 2])
  })
})
