import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeApp, type Paas, startPaas } from './instance.ts'

const someKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti'

describe('events', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  async function eventsOf(...words: string[]): Promise<string[]> {
    const { stdout } = await paas.ssh(['events', ...words, '-n', '200', '--json'])
    const events: { kind: string; by: string; text: string }[] = JSON.parse(stdout)
    return events.map(({ kind, by, text }) => `${kind} ${by} ${text}`)
  }

  test('of an app name every change with who made it, and no value', async () => {
    const calls = [
      ['domains:add', 'shop', 'a.example'],
      ['domains:remove', 'shop', 'a.example'],
      ['config:set', 'shop', 'A=secret-one'],
      ['config:set', 'shop', 'A=secret-two', '--no-restart'],
      ['checks:set', 'shop', 'drain=3'],
      ['maintenance:on', 'shop'],
      ['maintenance:off', 'shop'],
      ['apps:lock', 'shop'],
      ['apps:unlock', 'shop'],
      ['logs:limit', 'shop', '16m'],
      ['cron:add', 'shop', '0', '0', '1', '1', "'*'", 'node', 'x.js'],
      ['cron:suspend', 'shop', 'cron.1'],
      ['cron:remove', 'shop', 'cron.1'],
      ['builder:set', 'shop', 'node'],
      ['git:set', 'shop', 'deploy-branch', 'main'],
      ['resource:limit', 'shop', '--memory', '256m'],
      ['ps:pause', 'shop'],
      ['ps:resume', 'shop'],
      ['storage:create', 'files'],
      ['storage:mount', 'shop', 'files:/app/files'],
      ['storage:unmount', 'shop', 'files:/app/files'],
    ]
    for (const call of calls) {
      const { code, out } = await paas.ssh(call)
      expect([call, code, out]).toEqual([call, 0, out])
    }
    const drain = 'https://user:secret-three@127.0.0.1:9/x?token=secret-four'
    expect((await paas.paas(['logs:drain', 'add', 'shop', drain])).code).toBe(0)
    const told = await eventsOf('shop')
    const wanted = [
      'created tester A first push created shop',
      'domains tester Added a.example',
      'domains tester Removed a.example',
      'changed tester Set A',
      'config tester Changed A for the next release',
      'checks tester checks:set drain=3',
      'maintenance tester On',
      'maintenance tester Off',
      'lock tester Locked',
      'lock tester Unlocked',
      'logs tester Limited the log to 16 MiB',
      'cron tester Added cron.1, 0 0 1 1 *',
      'cron tester Suspended cron.1',
      'cron tester Removed cron.1',
      'builder tester Chose builder node',
      'git tester Set the deploy branch to main',
      'limits tester Changed limits, as they run',
      'pause tester Paused web.1',
      'resume tester Resumed web.1',
      'changed tester Mount files:/app/files',
      'changed tester Unmount files:/app/files',
    ]
    expect(told.filter((one) => wanted.includes(one)).sort()).toEqual([...wanted].sort())
    expect(told.find((one) => one.startsWith('drains root Added https://'))).toBeDefined()
    expect(told.join(' ')).not.toMatch(/secret-/)
    const shown = 'https://***@127.0.0.1:9/x?token=***'
    expect((await paas.ssh(['logs:drain', 'list', 'shop'])).stdout).toContain(shown)
    expect((await paas.ssh(['logs:drain', 'remove', 'shop', shown])).code).toBe(0)
  })

  test('of the host name keys, storages, plugins, global config and apps that come and go', async () => {
    await paas.paas(['keys:add', 'guest', ...someKey.split(' ')])
    await paas.paas(['keys:remove', 'guest'])
    const calls = [
      ['storage:destroy', 'files', '--force'],
      ['storage:restore', 'files'],
      ['plugin:disable', 'deploy-webhook'],
      ['config:set', '--global', 'B=secret-five'],
      ['registry:logout', 'registry.example'],
      ['apps:create', 'passing'],
      ['apps:clone', 'shop', 'copy'],
      ['apps:destroy', 'passing', '--force'],
    ]
    for (const call of calls) expect([call, (await paas.ssh(call)).code]).toEqual([call, 0])
    expect(await eventsOf('--global')).toEqual([
      expect.stringMatching(/^keys root Added tester \(SHA256:.+\)$/),
      'created tester A first push created shop',
      'storage tester Created files',
      expect.stringMatching(/^keys root Added guest \(SHA256:.+\)$/),
      'keys root Removed guest',
      'storage tester Destroyed files',
      'storage tester Restored files',
      'plugins tester Disabled deploy-webhook',
      'config tester Changed the global B',
      'registries tester Nobody is logged in to registry.example',
      'created tester Created passing',
      'created tester Cloned shop to copy',
      'destroyed tester Destroyed passing',
    ])
  })
})
