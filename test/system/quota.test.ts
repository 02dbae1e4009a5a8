import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { type Paas, startPaas } from './instance.ts'
import { hasDiskQuotas, makeSmallDisk } from './small-disk.ts'

describe.skipIf(!(await hasDiskQuotas()))('on ext4 with project quotas a storage', () => {
  const end = new AsyncDisposableStack()
  let paas: Paas
  beforeAll(async () => {
    const disk = end.use(await makeSmallDisk(100, { quotas: true }))
    paas = end.use(await startPaas({ PAAS_HOME: join(disk.root, 'home') }))
  })
  afterAll(() => end.disposeAsync())

  const list = async () => (await paas.ssh(['storage:list'])).stdout
  const write = async (name: string, megabytes: number) => {
    const file = join(paths(paas.config).storage(name), `file-${megabytes}`)
    const words = ['--reuid=32767', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all']
    const dd = ['dd', 'if=/dev/zero', `of=${file}`, 'bs=1M', `count=${megabytes}`]
    return await exec('setpriv', [...words, '--', ...dd], { accept: [0, 1] })
  }

  test('holds its size and no more, after a restart and in the trash too', async () => {
    const created = await paas.ssh(['storage:create', 'data', '--size', '10m'])
    expect([created.code, created.stderr]).toEqual([0, ''])
    expect(await list()).toMatch(/data +not mounted +0 MiB of 10 MiB\n/)
    expect((await write('data', 8)).code).toBe(0)
    expect((await write('data', 4)).stderr).toContain('Disk quota exceeded')
    expect(await list()).toMatch(/data +not mounted +(9.\d|10) MiB of 10 MiB\n/)
    await paas.killDaemon()
    await paas.startDaemon()
    expect((await write('data', 4)).stderr).toContain('Disk quota exceeded')
    await paas.ssh(['storage:destroy', 'data', '--force'])
    await paas.ssh(['storage:restore', 'data'])
    expect(await list()).toMatch(/data +not mounted +(9.\d|10) MiB of 10 MiB\n/)
    await paas.ssh(['storage:resize', 'data', '--size', '20m'])
    expect((await write('data', 4)).code).toBe(0)
    expect((await paas.ssh(['doctor'])).stdout).toContain('disk quotas: containers and storages')
  })
})
