import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defaultLimits } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { liftLimit, limitDirectory, limitTree, quotaUse, whyNoQuota } from '../../runner/quota.ts'
import { changeLimits } from '../../runner/update.ts'
import { openTestHost, type TestHost } from './fixture.ts'
import { hasDiskQuotas, makeSmallDisk, type SmallDisk } from '../system/small-disk.ts'

const mebibyte = 1024 * 1024
const first = 1_000_000

test('a file system without project quotas is told as such', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'paas-quota-'))
  try {
    await using disk = await makeSmallDisk(16)
    expect(whyNoQuota(disk.root)).toBe("the store's file system counts no project quotas")
    expect(whyNoQuota(join(dir, 'not there'))).toBe(
      "the store's file system counts no project quotas",
    )
  } finally {
    await rm(dir, { recursive: true })
  }
})

const canLimit = await hasDiskQuotas()

describe.skipIf(!canLimit)('on ext4 with project quotas a directory', () => {
  let disk: SmallDisk
  beforeAll(async () => {
    disk = await makeSmallDisk(64, { quotas: true })
  })
  afterAll(() => disk[Symbol.asyncDispose]())

  const make = async (name: string) => {
    const dir = join(disk.root, name)
    await mkdir(dir)
    await exec('chown', ['65534', dir])
    return dir
  }
  test('is limited, counted, given more and less, and freed', async () => {
    expect(whyNoQuota(disk.root)).toBeUndefined()
    const dir = await make('one')
    const project = limitDirectory(dir, 8 * mebibyte, first)
    expect(await write(join(dir, 'a'), 6)).toMatchObject({ code: 0 })
    expect((await write(join(dir, 'b'), 6)).stderr).toContain('Disk quota exceeded')
    const use = quotaUse(dir)
    expect(use?.limitBytes).toBe(8 * mebibyte)
    expect(use?.usedBytes).toBeGreaterThan(7 * mebibyte)
    expect(use?.usedBytes).toBeLessThanOrEqual(8 * mebibyte)
    expect(limitDirectory(dir, 16 * mebibyte, first)).toBe(project)
    expect((await write(join(dir, 'b'), 6)).code).toBe(0)
    liftLimit(dir)
    expect((await write(join(dir, 'b'), 20)).code).toBe(0)
    await rm(dir, { recursive: true })
    expect(quotaUse(disk.root)).toBeUndefined()
  })

  test('has a number that nothing else has, and as many files as fit', async () => {
    const [one, other] = [await make('first'), await make('second')]
    const numbers = [one, other].map((dir) => limitDirectory(dir, mebibyte, first))
    expect(new Set(numbers).size).toBe(2)
    const many = Array.from({ length: 300 }, (_, index) => join(one, String(index)))
    const { stderr } = await asNobody(['touch', ...many])
    expect(stderr).toContain('Disk quota exceeded')
    expect((await write(join(other, 'file'), 0)).code).toBe(0)
  })

  test('with files already is counted with all of them, and no link is followed', async () => {
    const [dir, outside] = [await make('old'), await make('outside')]
    await mkdir(join(dir, 'sub'))
    await writeFile(join(dir, 'sub', 'file'), Buffer.alloc(3 * mebibyte, 1))
    await writeFile(join(outside, 'file'), Buffer.alloc(5 * mebibyte, 1))
    await exec('ln', ['-s', '--', join(outside, 'file'), join(dir, 'link')])
    await exec('mkfifo', ['--', join(dir, 'pipe')])
    await limitTree(dir, 4 * mebibyte, first)
    expect(quotaUse(dir)?.usedBytes).toBeGreaterThanOrEqual(3 * mebibyte)
    expect(quotaUse(dir)?.usedBytes).toBeLessThan(4 * mebibyte)
    expect(quotaUse(outside)).toBeUndefined()
    expect((await write(join(dir, 'more'), 2)).stderr).toContain('Disk quota exceeded')
  })
})

describe.skipIf(!canLimit)('on ext4 with project quotas a container', () => {
  const end = new AsyncDisposableStack()
  let t: TestHost
  beforeAll(async () => {
    const disk = end.use(await makeSmallDisk(600, { quotas: true }))
    t = end.use(await openTestHost(disk.root))
  })
  afterAll(() => end.disposeAsync())

  const fill = 'cat /dev/zero > /tmp/file'

  test('writes as much as its limit, and its next has all of that again', async () => {
    expect(t.host.noQuota).toBeUndefined()
    const limits = { ...defaultLimits, diskBytes: 16 * mebibyte }
    for (const user of ['app', 'root'] as const) {
      const { lines, code } = await t.run(['sh', '-c', fill], { limits, user })
      expect([code, lines.join()]).toEqual([1, expect.stringContaining('Disk quota exceeded')])
    }
    expect((await t.run(['sh', '-c', 'cat /usr/bin/true > /tmp/x'], { limits })).code).toBe(0)
  })

  test('has another limit at once', async () => {
    const limits = { ...defaultLimits, diskBytes: 64 * mebibyte }
    const { id } = await t.start(['sleep', '1000'], { limits })
    const scratch = paths(t.config).scratch(id)
    expect(quotaUse(scratch)?.limitBytes).toBe(64 * mebibyte)
    await changeLimits(t.host, id, { ...limits, diskBytes: 32 * mebibyte })
    expect(quotaUse(scratch)?.limitBytes).toBe(32 * mebibyte)
  })
})

/** As a user of the host without any right beyond it: no limit holds root. */
async function asNobody(argv: string[]) {
  const words = ['--reuid=65534', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all']
  return await exec('setpriv', [...words, '--', ...argv], { accept: [0, 1] })
}

async function write(file: string, megabytes: number) {
  return await asNobody(['dd', 'if=/dev/zero', `of=${file}`, 'bs=1M', `count=${megabytes}`])
}
