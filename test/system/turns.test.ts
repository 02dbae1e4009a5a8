import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { patience } from '../patience.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'
import { sleepers, slowBuild, wake } from './slow-build.ts'

describe('pushes of one app', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('first', nodeApp('first')))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  test('wait for their turn, and a newer one replaces the one that waits', async () => {
    const slow = paas.push('shop', await paas.tree('slow', slowBuild('slow', 600)))
    await until('the slow build sleeps', () => sleepers(paas).length === 1)
    const waiting = paas.push('shop', await paas.tree('waiting', nodeApp('waiting')))
    await until('the second push waits', async () => builds(paas, 'waiting'))
    const newest = paas.push('shop', await paas.tree('newest', nodeApp('newest')))
    const waited = await waiting
    wake(paas)
    const results = await Promise.all([slow, newest])
    expect(results[0].code).toBe(0)
    expect(waited.out).toContain('-----> Waiting for another change of shop to finish')
    expect(waited.out).toContain('A newer push of shop took this one')
    expect(waited.code).not.toBe(0)
    // The newest was made from the old commit: the slow one moved the branch meanwhile.
    expect(results[1].out).toContain('was moved by another push meanwhile')
    expect((await paas.get('shop')).body).toBe('slow')
  })

  test('that build upon the one before them need not be made again', async () => {
    const dir = await paas.tree('upon', slowBuild('earlier', 600))
    const earlier = paas.push('shop', dir)
    await until('the earlier sleeps', () => sleepers(paas).length === 1)
    const later = paas.push('shop', await paas.tree('upon', nodeApp('later')))
    await until('the later waits', async () => builds(paas, 'waiting'))
    wake(paas)
    expect((await earlier).code).toBe(0)
    expect((await later).out).toContain('Application deployed')
    expect((await later).code).toBe(0)
    expect((await paas.get('shop')).body).toBe('later')
  })

  test('of other kinds wait for their turn too: none undoes another', async () => {
    const keys = ['K1', 'K2', 'K3', 'K4']
    const changes = keys.map((key) => paas.ssh(['config:set', 'shop', `${key}=set`]))
    changes.push(paas.ssh(['ps:scale', 'shop', 'web=2']), paas.ssh(['ps:restart', 'shop']))
    const ended = await Promise.all(changes)
    expect(ended.map(({ code }) => code)).toEqual(changes.map(() => 0))
    expect(ended.some(({ stdout }) => stdout.includes('-----> Waiting for'))).toBe(true)
    const config = JSON.parse((await paas.ssh(['config:show', 'shop', '--json'])).stdout)
    expect(config).toMatchObject(Object.fromEntries(keys.map((key) => [key, 'set'])))
    expect((await paas.ssh(['ps:scale', 'shop'])).stdout).toContain('web=2')
    await paas.ssh(['ps:scale', 'shop', 'web=1'])
    await paas.ssh(['config:unset', 'shop', ...keys])
  })

  test('are followed by what was asked while the first of them built, as by any change', async () => {
    const dir = await paas.tree('early', slowBuild('early', 600))
    const first = paas.push('early', dir)
    await until('the first build sleeps', () => sleepers(paas).length === 1)
    const config = paas.ssh(['config:set', 'early', 'LATE=set'])
    await paas.ssh(['storage:create', 'attic'])
    const mount = paas.ssh(['storage:mount', 'early', 'attic:/attic'])
    const scale = paas.ssh(['ps:scale', 'early', 'web=2'])
    wake(paas)
    expect((await first).code).toBe(0)
    expect([await config, await mount, await scale].map(({ code }) => code)).toEqual([0, 0, 0])
    const seen = await paas.ssh(['enter', 'early', 'web', 'sh', '-c', '"echo $LATE; ls -d /attic"'])
    expect(seen.stdout).toBe('set\n/attic\n')
    const report = await paas.ssh(['ps:report', 'early', '--json'])
    expect(JSON.parse(report.stdout)).toMatchObject([{ type: 'web', wanted: 2, running: 2 }])
  })

  test('are cancelled when the client goes away: nothing of the build is left within 2 s', async () => {
    const dir = await paas.tree('hang', slowBuild('hang', 600))
    const client = spawnGroup(
      'git',
      ['push', '--force', 'paas@127.0.0.1:shop', 'HEAD:refs/heads/main'],
      {
        cwd: dir,
        env: { ...paas.env, GIT_SSH_COMMAND: paas.sshCommand.join(' ') },
        stdio: 'ignore',
      },
    )
    const before = await paas.ssh(['run', 'shop', 'true'])
    expect(before.code).toBe(0)
    await until('the build sleeps', () => sleepers(paas).length === 1)
    await killGroup(client, 0)
    await until('the build is gone', () => sleepers(paas).length === 0, patience(2000))
    expect((await paas.get('shop')).body).toBe('later')
    await until('the build is recorded as cancelled', async () => builds(paas, 'cancelled'))
    const next = await paas.push('shop', await paas.tree('next', nodeApp('next')))
    expect(next.out).toContain('Application deployed')
  })

  test('and other calls are told of a restart of paas, whatever they wait for', async () => {
    const dir = await paas.tree('restart', slowBuild('restart', 30))
    const push = paas.push('shop', dir)
    await until('the build runs', async () => builds(paas, 'running'))
    let isWaiting = false
    const args = [...paas.sshCommand.slice(1), 'paas@127.0.0.1', 'config:set', 'shop', 'K0=set']
    const onLine = (line: string) => void (isWaiting ||= line.includes('Waiting for'))
    const waiting = exec('ssh', args, { onLine, accept: [75] })
    await until('the other call waits', () => isWaiting)
    const running = paas.ssh(['run', 'shop', 'sh', '-c', "'echo on; sleep 60'"])
    await until('the run runs', async () => {
      return (await paas.ssh(['run:list', 'shop'])).stdout.includes('attached')
    })
    await paas.killDaemon('SIGTERM')
    const [pushed, ...others] = await Promise.all([push, waiting, running])
    expect([pushed.code === 0, pushed.out]).toEqual([
      false,
      expect.stringContaining('paas is stopping or restarting'),
    ])
    for (const { code, stderr } of others) {
      expect([code, stderr]).toEqual([75, expect.stringContaining('paas is stopping or restart')])
    }
    await paas.startDaemon()
    expect((await paas.get('shop')).body).not.toBe('restart')
    const again = await paas.push('shop', await paas.tree('restart', slowBuild('restart', 0)))
    expect([again.code, (await paas.get('shop')).body]).toEqual([0, 'restart'])
  })
})

async function builds(paas: Paas, status: string): Promise<boolean> {
  const all: { status: string }[] = JSON.parse(
    (await paas.paas(['--json', 'builds', 'shop'])).stdout,
  )
  return all.some((build) => build.status === status)
}
