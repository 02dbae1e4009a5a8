import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { statSync } from 'node:fs'
import { killGroup, spawnGroup } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { table } from '../../daemon/commands/table.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

describe('commands', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  test('help lists every command, and each has its own', async () => {
    const all = await paas.ssh(['help'])
    expect(all.code).toBe(0)
    for (const { name } of table) expect(all.stdout).toContain(name)
    const one = await paas.ssh(['help', 'ps:scale'])
    expect(one.stdout).toContain('Usage: ps:scale APP')
    expect((await paas.ssh(['config'])).stdout).toContain('config:set')
    const both = await paas.ssh(['help', 'ps'])
    expect(both.stdout).toMatch(/^Usage: ps APP\n[^]*ps:scale APP/)
    for (const same of [['ps'], ['ps:help'], ['ps', '--help']]) {
      expect((await paas.ssh(same)).stdout).toBe(both.stdout)
    }
    expect((await paas.ssh(['ps', 'shop', '--io'])).stderr).toBe(
      " !     Unknown option '--io'\n !     Usage: ps APP\n !     Options: help ps\n",
    )
    expect((await paas.ssh([])).stdout).toBe(all.stdout)
  })

  test('exit statuses are those of the contract', async () => {
    expect((await paas.ssh(['version'])).code).toBe(0)
    expect((await paas.ssh(['nonsense'])).code).toBe(2)
    expect((await paas.ssh(['config:set', 'shop', 'noequals'])).code).toBe(2)
    const typo = await paas.ssh(['ps', 'shpo'])
    expect(typo.code).toBe(20)
    expect(typo.stderr).toBe(' !     App "shpo" does not exist. Did you mean "shop"?\n')
    expect((await paas.ssh(['config:get', 'shop', 'NOTHING'])).code).toBe(1)
    expect((await paas.ssh(['run', 'shop', 'sh', '-c', "'exit 42'"])).code).toBe(42)
  })

  test('--json works on every command that prints facts', async () => {
    const calls = [
      ['apps:list'],
      ['apps:info', 'shop'],
      ['config:show', 'shop'],
      ['ps', 'shop'],
      ['releases', 'shop'],
      ['builds', 'shop'],
      ['builds:plan', 'shop'],
      ['domains:report', 'shop'],
      ['keys:list'],
      ['plugin:list'],
      ['resource:report', 'shop'],
      ['doctor'],
      ['version'],
      ['help'],
    ]
    for (const call of calls) {
      const { stdout, code } = await paas.ssh([...call, '--json'])
      expect([call, code]).toEqual([call, 0])
      expect(() => JSON.parse(stdout)).not.toThrow()
    }
  })

  test('the local socket and ssh give the same answers', async () => {
    for (const call of [['apps:list'], ['releases', 'shop'], ['config:show', 'shop']]) {
      expect((await paas.cli(call)).stdout).toBe((await paas.ssh(call)).stdout)
    }
  })

  test('config values arrive byte for byte, and nothing is expanded', async () => {
    const value = `a  b $(id) \`id\` "q" 'x' \\ ü\n* ~`
    const set = await paas.cli(['config:set', 'shop', `ODD=${value}`])
    expect(set.code).toBe(0)
    expect(set.out).not.toContain('$(id)')
    expect((await paas.cli(['config:get', 'shop', 'ODD'])).stdout).toBe(`${value}\n`)
    const env: Record<string, string> = JSON.parse((await paas.get('shop', '/env')).body)
    expect(env.ODD).toBe(value)
    const quoted = await paas.ssh(['config:set', 'shop', `'TWO=$HOME;id'`])
    expect(quoted.code).toBe(0)
    expect((await paas.ssh(['config:get', 'shop', 'TWO'])).stdout).toBe('$HOME;id\n')
    await paas.ssh(['config:unset', 'shop', 'ODD', 'TWO'])
    expect((await paas.ssh(['config:show', 'shop'])).stdout).toBe('')
  })

  test('config that makes the app unhealthy is put back', async () => {
    const files = nodeApp('picky', {
      before: 'if (process.env.BREAK) { console.error("broken by config"); process.exit(3) }',
    })
    await paas.push('picky', await paas.tree('picky', files))
    const set = await paas.ssh(['config:set', 'picky', 'BREAK=1'])
    expect(set.code).toBe(1)
    expect(set.stderr).toContain('broken by config')
    expect((await paas.ssh(['config:show', 'picky'])).stdout).toBe('')
    expect((await paas.get('picky')).body).toBe('picky')
    const later = await paas.ssh(['config:set', '--no-restart', 'picky', 'BREAK=1'])
    expect(later.code).toBe(0)
    expect((await paas.get('picky')).body).toBe('picky')
    await paas.ssh(['config:unset', '--no-restart', 'picky', 'BREAK'])
  })

  test('config is read by root alone, and no inherited name is a key', async () => {
    const { database } = paths(paas.config)
    for (const suffix of ['', '-wal', '-shm']) {
      expect(statSync(database + suffix).mode & 0o777).toBe(0o600)
    }
    for (const key of ['toString', 'constructor', '__proto__']) {
      expect((await paas.ssh(['config:get', 'shop', key])).code).toBe(1)
      expect((await paas.ssh(['config:unset', 'shop', key])).out).toContain('Nothing changed')
    }
    for (const call of [['X=a\ufffdb'], ['--encoded', 'X=Yf9i']]) {
      const { code, stderr } = await paas.ssh(['config:set', 'shop', ...call])
      expect([code, stderr]).toEqual([2, expect.stringContaining('value of X is not UTF-8 text')])
      expect(stderr).toContain('store them as base64 text and decode them in the app')
    }
  })

  test('an argument too many is refused, whatever the command', async () => {
    for (const call of [
      ['apps:list', 'foo'],
      ['ps', 'shop', 'extra'],
      ['version', 'extra'],
      ['apps:destroy', 'shop', 'other', '--force'],
    ]) {
      const { code, stderr } = await paas.ssh(call)
      expect([call, code]).toEqual([call, 2])
      expect(stderr).toMatch(/takes (no|at most \d) arguments?: \d w/)
    }
    expect((await paas.get('shop')).status).toBe(200)
  })

  test('what a command does not do is said, and what is set in vain', async () => {
    const push = await paas.ssh(['images:push', 'shop', 'v1'])
    expect([push.code, push.stderr]).toEqual([2, expect.stringContaining('says no registry')])
    const plan = await paas.ssh(['plan', '.'])
    expect([plan.code, plan.stderr]).toEqual([2, expect.stringContaining('There: paas plan DIR')])
    expect((await paas.ssh(['doctor'])).stdout).not.toContain(' !     ')
    await paas.ssh(['buildpacks:set', 'shop', 'https://example.com/pack.git'])
    await paas.ssh(['config:set', 'shop', '--no-restart', 'BUILDER=node'])
    expect((await paas.ssh(['buildpacks:list', 'shop'])).stdout).toContain(
      'They are not used: the config key BUILDER says "node"',
    )
    await paas.ssh(['buildpacks:clear', 'shop'])
    await paas.ssh(['config:unset', 'shop', '--no-restart', 'BUILDER'])
  })

  test('platform keys and bad keys are refused', async () => {
    for (const key of ['PORT', 'DYNO', 'PAAS_APP', '1A', 'A-B', '']) {
      const { code, stderr } = await paas.paas(['config:set', 'shop', `${key}=x`])
      expect([key, code]).toEqual([key, 2])
      expect(stderr).toMatch(/is not a config key|is set by paas itself/)
    }
  })

  test('a rollback brings back code, config and formation as a new release', async () => {
    await paas.push('back', await paas.tree('back', nodeApp('one')))
    await paas.ssh(['config:set', 'back', 'COLOR=red'])
    await paas.ssh(['ps:scale', 'back', 'web=2'])
    await paas.push('back', await paas.tree('back', nodeApp('two')))
    await paas.ssh(['config:set', 'back', 'COLOR=blue'])
    await paas.ssh(['ps:scale', 'back', 'web=1'])
    const rolled = await paas.ssh(['releases:rollback', 'back', 'v2'])
    expect(rolled.stdout).toContain('back runs v5, a copy of v2')
    expect((await paas.get('back')).body).toBe('one')
    expect((await paas.ssh(['config:get', 'back', 'COLOR'])).stdout).toBe('red\n')
    expect((await paas.ssh(['ps:scale', 'back'])).stdout).toContain('web=2') // as v2 last ran
    const again = await paas.ssh(['releases:rollback', 'back', 'v99'])
    expect(again.code).toBe(1)
    expect(again.stderr).toContain('There is: v4')
  })

  test('limits are set, shown and read back inside', async () => {
    const set = await paas.ssh(['resource:limit', '--memory', '128m', '--cpu', '0.5', 'shop'])
    expect(set.out).toContain('128 MiB')
    expect((await paas.ssh(['resource:limit', '--memory', 'lots', 'shop'])).code).toBe(2)
    const inside = await paas.ssh([
      'run',
      'shop',
      'cat',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes',
      '/sys/fs/cgroup/memory.max',
    ])
    expect(inside.stdout.trim()).toBe(String(128 * 1024 ** 2))
  })

  test('run passes input and output through, and has the app with its config', async () => {
    await paas.ssh(['config:set', 'shop', 'WHO=me'])
    const result = await paas.ssh(
      ['run', 'shop', 'sh', '-c', `'cat; echo $WHO; id -u; pwd'`],
      'in\n',
    )
    expect(result.stdout).toBe('in\nme\n32767\n/app\n')
    expect(result.code).toBe(0)
  })

  test('logs show what a process printed and follow what comes', async () => {
    const files = nodeApp('talk', { before: 'console.log("talk begins")' })
    await paas.push('talk', await paas.tree('talk', files))
    const logs = await paas.ssh(['logs', 'talk', '-n', '500'])
    expect(logs.stdout).toMatch(/web\.1: talk begins/)
    expect(logs.stdout).toMatch(/build\.1: -----> Building talk/)
    expect((await paas.ssh(['logs', 'talk', '-p', 'web'])).stdout).not.toContain('Building')
  })

  test('logs -t goes on through a deploy', async () => {
    const [file = 'ssh', ...args] = paas.sshCommand
    const child = spawnGroup(file, [...args, 'paas@127.0.0.1', 'logs', 'talk', '-t', '-n', '5'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until('the reader is there', () => seen.includes('talk'))
    const files = nodeApp('talk', { before: 'console.log("talk once more")' })
    await paas.push('talk', await paas.tree('talk', files))
    await until('the build and the new process were heard', () =>
      /build\.2: -----> Building talk[^]*web\.1: talk once more/.test(seen),
    )
    await killGroup(child, 100)
  })

  test('apps:destroy asks, and with --force removes every trace', async () => {
    const refused = await paas.ssh(['apps:destroy', 'talk'])
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('--force')
    const done = await paas.ssh(['apps:destroy', 'talk', '--force'])
    expect(done.code).toBe(0)
    expect((await paas.get('talk')).status).toBe(404)
    expect((await paas.ssh(['ps', 'talk'])).code).toBe(20)
    const again = await paas.push('talk', await paas.tree('talk', nodeApp('talk again')))
    expect(again.out).toContain('-----> Starting talk v1')
  })

  test('keys can be added and removed, once each', async () => {
    const key =
      'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f x@y'
    expect((await paas.ssh(['keys:add', 'other'], key)).code).toBe(0)
    expect((await paas.ssh(['keys:add', 'twin'], key)).stderr).toContain(
      'known already, as "other"',
    )
    expect((await paas.ssh(['keys:list'])).stdout).toContain('other')
    expect((await paas.ssh(['keys:remove', 'other'])).code).toBe(0)
    expect((await paas.ssh(['keys:remove', 'other'])).code).toBe(1)
    expect((await paas.ssh(['keys:add', 'bad'], 'not a key')).code).not.toBe(0)
  })

  test('the key that one has come in by is not removed without being asked', async () => {
    const [{ name }] = JSON.parse((await paas.ssh(['keys:list', '--json'])).stdout)
    const refused = await paas.ssh(['keys:remove', name])
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('--force')])
    expect((await paas.ssh(['version'])).code).toBe(0)
  })
})
