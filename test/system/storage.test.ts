import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { paths } from '../../core/names.ts'
import { sitAt } from './client-terminal.ts'
import { nodeApp, type Paas, startPaas } from './instance.ts'

describe('storage', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
    await paas.push('blog', await paas.tree('blog', nodeApp('blog')))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const sh = (app: string, script: string) => paas.ssh(['run', app, 'sh', '-c', `'${script}'`])

  test('is created, mounted as a release of its own, and written by the app', async () => {
    expect((await paas.ssh(['storage:create', 'data'])).code).toBe(0)
    const mounted = await paas.ssh(['storage:mount', 'shop', 'data:/app/data'])
    expect(mounted.out).toContain('shop has data:/app/data')
    expect((await sh('shop', 'echo one > data/file; id -u')).out).toBe('32767\n')
    expect((await paas.ssh(['releases', 'shop'])).stdout).toContain('Mount data:/app/data')
    expect((await paas.get('shop')).body).toBe('shop')
  })

  test('is shared between apps that have it mounted, and hidden from others', async () => {
    expect((await sh('blog', 'ls /data')).code).not.toBe(0)
    await paas.ssh(['storage:mount', 'blog', 'data:/data'])
    expect((await sh('blog', 'cat /data/file; echo two >> /data/file')).out).toBe('one\n')
    expect((await sh('shop', 'cat data/file')).out).toBe('one\ntwo\n')
  })

  test('survives pushes, rollbacks, unmounting and the app itself', async () => {
    await paas.push('blog', await paas.tree('blog', nodeApp('blog two')))
    expect((await sh('blog', 'cat /data/file')).out).toBe('one\ntwo\n')
    await paas.ssh(['storage:unmount', 'blog', 'data:/data'])
    expect((await sh('blog', 'ls /data/file')).code).not.toBe(0)
    await paas.ssh(['releases:rollback', 'blog'])
    expect((await sh('blog', 'cat /data/file')).out).toBe('one\ntwo\n')
    await paas.ssh(['apps:destroy', 'blog', '--force'])
    expect((await sh('shop', 'cat data/file')).out).toBe('one\ntwo\n')
  })

  test('is seen within another, whichever was mounted first, but not in the place of a file', async () => {
    for (const name of ['outer', 'inner']) await paas.ssh(['storage:create', name])
    await paas.ssh(['storage:mount', 'shop', 'inner:/app/deep/in'])
    await paas.ssh(['storage:mount', 'shop', 'outer:/app/deep'])
    await sh('shop', 'echo in > deep/in/file; echo out > deep/file')
    await paas.ssh(['storage:unmount', 'shop', 'outer:/app/deep'])
    expect((await sh('shop', 'cat deep/in/file; cat deep/file')).out).toMatch(/^in\ncat: /)
    await paas.ssh(['storage:unmount', 'shop', 'inner:/app/deep/in'])
    for (const path of ['/app/server.js', '/app/server.js/x']) {
      const refused = await paas.ssh(['storage:mount', 'shop', `outer:${path}`])
      expect([refused.code, refused.stderr]).toEqual([
        1,
        ' !     /app/server.js is a file of shop: nothing can be mounted there\n' +
          ' !     Choose a path that is a directory, or is not there\n',
      ])
    }
  })

  test('is destroyed by name only, when nobody has it, and comes back from the trash', async () => {
    const used = await paas.ssh(['storage:destroy', 'data', '--force'])
    expect(used.stderr).toContain('data is mounted by shop data:/app/data')
    await paas.ssh(['storage:unmount', 'shop', 'data:/app/data'])
    expect((await paas.ssh(['storage:list'])).stdout).toMatch(/data\s+not mounted/)
    expect((await paas.ssh(['storage:destroy', 'data'])).stderr).toContain('--force')
    expect((await paas.ssh(['storage:destroy', 'data', '--force'])).code).toBe(0)
    expect((await paas.ssh(['storage:list'])).stdout).toMatch(/data\s+in the trash since/)
    const rolled = await paas.ssh(['releases:rollback', 'shop'])
    expect(rolled.stderr).toContain('storage:restore data')
    expect((await paas.get('shop')).body).toBe('shop')
    expect((await paas.ssh(['storage:restore', 'data'])).code).toBe(0)
    await paas.ssh(['releases:rollback', 'shop'])
    expect((await sh('shop', 'cat data/file')).out).toBe('one\ntwo\n')
  })

  test('has a size that is shown, and told not to hold where the file system cannot', async () => {
    const created = await paas.ssh(['storage:create', 'sized', '--size', '5g'])
    expect([created.code, created.stdout]).toEqual([
      0,
      expect.stringContaining('Created sized, at most 5 GiB'),
    ])
    const { stdout: doctor } = await paas.ssh(['doctor'])
    const limited = doctor.includes('disk quotas: containers and storages have limits')
    if (!limited)
      expect(created.stderr).toMatch(/ ! {5}The size is noted and not enforced: the store's/)
    const list = async () => (await paas.ssh(['storage:list'])).stdout
    expect(await list()).toMatch(
      limited ? /sized +not mounted +0 MiB of 5 GiB\n/ : /sized .* of 5 GiB, not enforced\n/,
    )
    expect((await paas.ssh(['storage:resize', 'sized', '--size', '1.5g'])).code).toBe(0)
    expect(await list()).toMatch(/sized .* of 1.5 GiB/)
    const free = await paas.ssh(['storage:resize', 'sized', '--size', 'none'])
    expect(free.stdout).toContain('Resized sized, no limit')
    expect(await list()).toMatch(/sized +not mounted +0 MiB\n/)
    for (const size of ['x', '0', '1k']) {
      expect((await paas.ssh(['storage:resize', 'sized', '--size', size])).code).toBe(2)
    }
    expect((await paas.ssh(['storage:resize', 'nothing', '--size', '1g'])).code).toBe(1)
    expect((await paas.ssh(['storage:resize', 'sized'])).code).toBe(2)
  })

  test('that gets mounted while a person is asked is not destroyed', async () => {
    await paas.ssh(['storage:create', 'asked'])
    const person = sitAt(
      'ssh',
      ['-tt', ...paas.sshCommand.slice(1), 'paas@127.0.0.1', 'storage:destroy', 'asked'],
      paas.env,
    )
    await person.see(/Type "asked"/)
    const mounted = await paas.ssh(['storage:mount', 'shop', 'asked:/app/asked'])
    expect(mounted.code).toBe(0)
    person.type('asked\r')
    await person.see(/asked is mounted by shop asked:\/app\/asked/)
    expect(await person.ended).toBe(1)
    expect((await sh('shop', 'echo kept > asked/file; cat asked/file')).out).toBe('kept\n')
  })

  test('is not destroyed under a run that an unmount has left', async () => {
    const run = await paas.ssh(['run:detached', '--json', 'shop', 'sleep', '1000'])
    await paas.ssh(['storage:unmount', 'shop', 'asked:/app/asked'])
    const used = await paas.ssh(['storage:destroy', 'asked', '--force'])
    expect([used.code, used.stderr]).toEqual([
      1,
      ' !     asked is mounted by shop asked:/app/asked\n' +
        ' !     By what starts or runs at this moment: ps shop\n',
    ])
    await paas.ssh(['run:stop', 'shop', JSON.parse(run.stdout).process])
  })

  test('whose making hits files that nobody knows gives them to nobody', async () => {
    const { storage } = paths(paas.config)
    mkdirSync(storage('found'))
    writeFileSync(join(storage('found'), 'secret'), 'of another')
    expect((await paas.ssh(['storage:create', 'found'])).code).toBe(0)
    expect(readdirSync(storage('found'))).toEqual([])
    expect((await paas.ssh(['storage:list'])).stdout).toMatch(/found\s+in the trash since/)
  })

  test('in the trash for more than seven days is gone at the next start, unless it is mounted; what a kill left lies there', async () => {
    const { storage, trash } = paths(paas.config)
    for (const name of ['old', 'held', 'left']) await paas.ssh(['storage:create', name])
    await paas.ssh(['storage:mount', 'shop', 'held:/app/held'])
    await paas.ssh(['storage:destroy', 'old', '--force'])
    const entry = readdirSync(trash).find((name) => name.startsWith('old@')) ?? ''
    const eightDays = 8 * 24 * 60 * 60 * 1000
    renameSync(join(trash, entry), join(trash, `old@${Date.now() - eightDays}`))
    const held = join(trash, `held@${Date.now() - eightDays}`)
    renameSync(storage('held'), held)
    writeFileSync(join(storage('left'), 'file'), 'left')
    await paas.killDaemon()
    using db = new DatabaseSync(paths(paas.config).database)
    db.exec(`delete from storages where name = 'left'`)
    await paas.startDaemon()
    const { stdout } = await paas.ssh(['storage:list'])
    expect(stdout).not.toContain('old')
    expect(stdout).toMatch(/left\s+in the trash since/)
    expect(existsSync(held)).toBe(true)
    renameSync(held, storage('held'))
    expect((await paas.ssh(['storage:restore', 'left'])).code).toBe(0)
    expect(readdirSync(storage('left'))).toEqual(['file'])
  })

  test.each([
    ['relative', 'is not a path for a storage'],
    ['/a b', 'is not a path for a storage'],
    ['/', 'holds the system of the container'],
    ['/etc', 'holds the system of the container'],
    ['/proc/x', 'holds the system of the container'],
    ['/app/../etc', 'holds the system of the container'],
    ['/usr/bin', 'holds the system of the container'],
    ['/bin/x', 'holds the system of the container'],
    ['/app', 'holds the code of the app'],
  ])('cannot be mounted at %s', async (target, why) => {
    const { code, stderr } = await paas.paas(['storage:mount', 'shop', `data:${target}`])
    expect([code, stderr]).toEqual([2, expect.stringContaining(why)])
  })

  test('takes no path of the host', async () => {
    const { code, stderr } = await paas.ssh(['storage:mount', 'shop', '/etc:/data'])
    expect([code, stderr]).toEqual([2, expect.stringContaining('is not a storage name')])
  })
})
