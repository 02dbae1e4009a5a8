import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { claimDirectory, removeDirectory } from '../../core/own-directory.ts'

let dir: string

beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'paas-own-'))))
afterEach(() => rm(dir, { recursive: true, force: true }))

test('a directory with files of somebody else is neither taken nor removed', async () => {
  await writeFile(join(dir, 'letters.txt'), 'dear')
  const refused = `PAAS_HOME is ${dir}, which holds files that are not of paas: letters.txt`
  await expect(claimDirectory('PAAS_HOME', dir)).rejects.toThrow(refused)
  await expect(removeDirectory('PAAS_HOME', dir)).rejects.toThrow(refused)
  expect(await readdir(dir)).toEqual(['letters.txt'])
})

test('a directory that is new, empty or ours is taken, and goes with all in it', async () => {
  const home = join(dir, 'a', 'home')
  await claimDirectory('PAAS_HOME', home)
  await mkdir(join(home, 'repos', 'shop.git'), { recursive: true })
  await claimDirectory('PAAS_HOME', home)
  await removeDirectory('PAAS_HOME', home)
  expect(existsSync(home)).toBe(false)
  await removeDirectory('PAAS_HOME', home)
})

test('a directory of which an rm -r by hand has left what is mounted is still ours', async () => {
  await mkdir(join(dir, 'idmaps', 'shop', 'store'), { recursive: true })
  await claimDirectory('PAAS_RUN', dir)
  expect(await readdir(dir)).toContain('.paas')
})

test('of a disk of its own only what lies on it is removed', async () => {
  await exec('mount', ['-t', 'tmpfs', 'tmpfs', dir])
  try {
    await mkdir(join(dir, 'lost+found'))
    await claimDirectory('PAAS_HOME', dir)
    await removeDirectory('PAAS_HOME', dir)
    expect(await readdir(dir)).toEqual(['lost+found'])
  } finally {
    await exec('umount', [dir])
  }
})
