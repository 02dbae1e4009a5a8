import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { sealProgram } from '../../runner/sealed.ts'

test('a sealed program runs, takes no writes, and follows its file', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'paas-sealed-'))
  try {
    const [file, folder] = [join(dir, 'echo'), join(dir, 'bin')]
    await mkdir(join(folder, '4194305', '3'), { recursive: true }) // of no process there can be
    await copyFile('/bin/echo', file)
    const sealed = sealProgram(file, folder)
    const first = sealed()
    expect((await exec(first, ['hello'])).stdout).toBe('hello\n')
    expect(sealed()).toBe(first)
    await expect(writeFile(first, 'other')).rejects.toThrow(/EPERM|EACCES|ETXTBSY/)
    await expect(exec('ls', [folder])).resolves.toMatchObject({ stdout: `${process.pid}\n` })

    await copyFile('/bin/true', file)
    expect((await exec(sealed(), ['hello'])).stdout).toBe('')
    expect((await exec(first, ['hello'])).stdout).toBe('hello\n')
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
