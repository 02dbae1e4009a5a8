import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { cp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { hollowOut, isWhole, layHollow, requireLayout } from '../../builder/docker/layout.ts'
import { readLayout } from '../../builder/image/import.ts'
import { takeImage } from '../../builder/image/take.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { openLayerWork } from '../../daemon/code/layer-work.ts'
import { temporaryConfig } from './support.ts'

const umoci = (...args: string[]) => exec('umoci', args)

test.skipIf(!existsSync('/usr/bin/umoci'))(
  'Blobs of layers that were taken are hollow, and are missed once the layers are gone',
  async () => {
    await using temporary = temporaryConfig()
    const { config } = temporary
    const dir = join(config.home, 'layout')
    const file = join(config.home, 'file')
    writeFileSync(file, Buffer.alloc(100_000, 7))
    await umoci('init', '--layout', dir)
    await umoci('new', '--image', `${dir}:image`)
    await umoci('insert', '--image', `${dir}:image`, file, '/file')
    await umoci('config', '--image', `${dir}:image`, '--config.cmd', '/file')

    const { signal } = new AbortController()
    await using work = openLayerWork(signal)
    const read = await readLayout(dir, 'image')
    const image = { name: 'test', ...read }
    expect(await isWhole(config, dir, image)).toBe(true)
    const { layers } = await takeImage(config, image, { work, say: () => {}, signal })
    await hollowOut(dir, read)

    const [first] = read.layers
    const blob = join(dir, 'blobs/sha256', first?.digest?.replace('sha256:', '') ?? '')
    expect(statSync(blob).size).toBeGreaterThan(0)
    expect(statSync(blob).blocks).toBe(0)
    expect((await readLayout(dir, 'image').catch(String)).toString()).toContain('it has no blobs')
    expect(await isWhole(config, dir, image)).toBe(true)
    for (const layer of layers) await rm(paths(config).layer(layer), { recursive: true })
    expect(await isWhole(config, dir, image)).toBe(false)
  },
  60_000,
)

test.each(['layout', 'layout/blobs', 'layout/blobs/sha256'])(
  'What a build left as %s is no link that is followed to files of the host',
  async (path) => {
    await using temporary = temporaryConfig()
    const { home } = temporary.config
    const [host, out] = [join(home, 'host'), join(home, 'out')]
    const kept = join(host, 'layout/blobs/sha256', 'a'.repeat(64))
    mkdirSync(dirname(kept), { recursive: true })
    writeFileSync(kept, 'kept')
    mkdirSync(join(out, dirname(path)), { recursive: true })
    symlinkSync(join(host, path), join(out, path))
    await expect(requireLayout(out)).rejects.toThrow('left no image')
    rmSync(join(out, path))
    await cp(join(host, path), join(out, path), { recursive: true })
    await requireLayout(out)
  },
)

test('A blob that is a link is neither taken nor emptied', async () => {
  await using temporary = temporaryConfig()
  const { home } = temporary.config
  const [host, dir] = [join(home, 'host'), join(home, 'layout')]
  const digest = `sha256:${'a'.repeat(64)}`
  const blob = join(dir, 'blobs/sha256', 'a'.repeat(64))
  mkdirSync(dirname(blob), { recursive: true })
  writeFileSync(host, 'kept')
  symlinkSync(host, blob)
  const layer = { digest, diffId: digest, fetch: () => Promise.reject(new Error('not asked')) }
  await hollowOut(dir, { digest: `sha256:${'b'.repeat(64)}`, layers: [layer] })
  expect(readFileSync(host, 'utf8')).toBe('kept')
  expect(existsSync(blob)).toBe(false)
})

test('A blob that is known is laid hollow before the first export, and into no layout there is', async () => {
  await using temporary = temporaryConfig()
  const { home } = temporary.config
  const known = { diffId: `sha256:${'a'.repeat(64)}`, bytes: 80_000_000 }
  const [first, link] = [join(home, 'layout'), join(home, 'link')]
  await layHollow(first, known)
  expect(statSync(blobIn(first))).toMatchObject({ size: known.bytes, blocks: 0 })
  writeFileSync(blobIn(first), 'whole')
  await layHollow(first, known)
  expect(readFileSync(blobIn(first), 'utf8')).toBe('whole')
  symlinkSync(join(home, 'nowhere'), link)
  await layHollow(link, known)
  expect(existsSync(join(home, 'nowhere'))).toBe(false)
})

function blobIn(dir: string): string {
  return join(dir, 'blobs/sha256', 'a'.repeat(64))
}
