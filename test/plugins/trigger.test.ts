import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { loadPlugins } from '../../plugins/load.ts'
import type { TriggerName } from '../../plugins/names.ts'
import { listens, trigger } from '../../plugins/trigger.ts'

/** Real scripts in real folders. */

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'plugins-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const said: string[] = []
const say = (line: string) => void said.push(line)
beforeEach(() => void said.splice(0))

test('plugins run in order of name, their output indented and live', async () => {
  plugin('beta', { 'post-deploy': '#!/bin/sh\necho from beta\necho and its stderr >&2\n' })
  plugin('alpha', { 'post-deploy': '#!/bin/sh\necho from alpha\n' })
  await fire('post-deploy')
  expect(said[0]).toBe('       from alpha')
  expect(new Set(said.slice(1))).toEqual(new Set(['       from beta', '       and its stderr']))
})

test('lines arrive while the script still runs', async () => {
  plugin('slow', { 'post-build': '#!/bin/sh\necho first\nread line < "$1"\necho $line\n' })
  const pipe = join(home, 'go')
  await exec('mkfifo', [pipe])
  const ended = fire('post-build', { args: [pipe] })
  await until(() => said.includes('       first'))
  writeFileSync(pipe, 'second\n')
  await ended
  expect(said).toEqual(['       first', '       second'])
})

test('a script gets arguments, variables, and JSON on its stdin', async () => {
  plugin('look', {
    'receive-branch':
      '#!/bin/sh\necho "$1|$2|$#"\necho "$PAAS_APP $PAAS_TRIGGER $PAAS_PLUGIN"\ncat\necho\n',
  })
  await fire('receive-branch', {
    args: ['main; rm -rf /', '$(id)'],
    vars: { PAAS_APP: 'shop' },
    json: { app: 'shop', deep: [1] },
  })
  expect(said).toEqual([
    '       main; rm -rf /|$(id)|2',
    '       shop receive-branch look',
    '       {"app":"shop","deep":[1]}',
  ])
})

test("a script's environment has the path to Node and paas, and nothing of the daemon's", async () => {
  plugin('env', { 'post-create': '#!/bin/sh\nenv\necho "$PWD"\n' })
  process.env.SECRET_OF_THE_DAEMON = 'hush'
  await fire('post-create').finally(() => delete process.env.SECRET_OF_THE_DAEMON)
  const text = said.join('\n')
  expect(text).not.toContain('hush')
  expect(text).toContain(`PATH=${dirname(process.execPath)}:`)
  expect(text).toMatch(/HOME=\/root/)
  expect(said.at(-1)).toBe(`       ${join(home, 'env')}`)
})

test('a script that does not read its stdin is no error', async () => {
  plugin('deaf', { 'post-create': '#!/bin/sh\nexit 0\n' })
  await fire('post-create', { json: { config: 'x'.repeat(1_000_000) } })
  expect(said).toEqual([])
})

describe('a script that fails', () => {
  test.each<TriggerName>(['pre-build', 'pre-deploy', 'check-deploy', 'receive-branch'])(
    'in %s stops the act, names its plugin, and later plugins do not run',
    async (name) => {
      plugin('guard', { [name]: '#!/bin/sh\necho not today\nexit 3\n' })
      plugin('later', { [name]: '#!/bin/sh\necho ran\n' })
      const failure = await fire(name).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(Failure)
      expect(failure).toMatchObject({
        message: `Plugin "guard" failed in ${name}: it exited with 3`,
        hint: 'To go on without it: plugin:disable guard',
      })
      expect(said).toEqual(['       not today'])
    },
  )

  test('in post-deploy is a warning, and later plugins run', async () => {
    plugin('broken', { 'post-deploy': '#!/bin/sh\nexit 3\n' })
    plugin('later', { 'post-deploy': '#!/bin/sh\necho ran\n' })
    await fire('post-deploy')
    expect(said).toEqual([
      ' !     Plugin "broken" failed in post-deploy: it exited with 3',
      '       ran',
    ])
  })

  test('because its interpreter is missing says so', async () => {
    plugin('odd', { 'pre-deploy': '#!/no/such/interpreter\n' })
    await expect(fire('pre-deploy')).rejects.toThrow(/^Plugin "odd" failed in pre-deploy: .*start/)
  })
})

describe('a script that does not end', () => {
  test('is killed at its deadline with all that it started', async () => {
    const pids = join(home, 'pids')
    plugin('stuck', {
      'pre-deploy': `#!/bin/sh\nsleep 300 &\necho $! >> ${pids}\necho $$ >> ${pids}\nwait\n`,
    })
    await expect(fire('pre-deploy', { timeoutMs: 400 })).rejects.toThrow(
      /^Plugin "stuck" failed in pre-deploy: .*took longer than 0.4 s/,
    )
    await expectGone(pids)
  })

  test('is killed when the act is cancelled, even in a trigger that only warns', async () => {
    const pids = join(home, 'pids')
    plugin('stuck', { 'post-build': `#!/bin/sh\necho $$ >> ${pids}\nsleep 300\n` })
    const cancel = new AbortController()
    const ended = fire('post-build', { signal: cancel.signal })
    ended.catch(() => {})
    await until(() => readPids(pids).length === 1)
    cancel.abort()
    await expect(ended).rejects.toThrow('Plugin "stuck" failed in post-build')
    await expectGone(pids)
  })

  test.each(['', 'setsid '])(
    'but leaves "%ssleep" with its output open does not hold the act',
    async (own) => {
      const pids = join(home, 'pids')
      plugin('forker', {
        'post-build': `#!/bin/sh\n${own}sleep 300 &\necho $! >> ${pids}\necho done\n`,
      })
      const began = Date.now()
      await fire('post-build', { timeoutMs: 20_000 })
      expect(Date.now() - began).toBeLessThan(5000)
      expect(said).toEqual(['       done'])
      if (own) process.kill(readPids(pids)[0] ?? 0, 'SIGKILL') // out of every group's reach
      await expectGone(pids)
    },
  )
})

describe('nothing is started', () => {
  test('where nobody listens', async () => {
    plugin('other', { 'post-create': '#!/bin/sh\n' })
    expect(listens(load(), 'post-create')).toBe(true)
    expect(listens(load(), 'post-deploy')).toBe(false)
    await fire('post-deploy')
    expect(said).toEqual([])
  })

  test('of a file that is not executable, or is named after no trigger', () => {
    plugin('soft', { 'post-deploy': '#!/bin/sh\n', 'post-lunch': '#!/bin/sh\n' })
    chmodSync(join(home, 'soft', 'post-deploy'), 0o644)
    expect(load()).toMatchObject([{ name: 'soft', triggers: [] }])
  })

  test('of a plugin that is switched off, or off by default and not switched on', () => {
    plugin('shy', { 'post-deploy': '#!/bin/sh\n' }, 'enabled = false\n')
    expect(listens(load(), 'post-deploy')).toBe(false)
    expect(listens(load({ shy: true }), 'post-deploy')).toBe(true)
    plugin('bold', { 'post-deploy': '#!/bin/sh\n' })
    expect(listens(load({ bold: false }), 'post-deploy')).toBe(false)
  })

  test('of a plugin of another api, whatever its switch says, and it is told why', () => {
    plugin('future', { 'post-deploy': '#!/bin/sh\n' }, '', 'api = 2')
    expect(load({ future: true })).toMatchObject([
      { name: 'future', state: 'unusable', problem: 'it is written for api 2; this paas speaks 1' },
    ])
    expect(listens(load({ future: true }), 'post-deploy')).toBe(false)
  })

  test.each([
    ['name = "torn', /^plugin\.toml cannot be read: /],
    ['name = "another"\napi = 1', /^plugin\.toml calls it "another", its folder "torn"$/],
    ['api = 1', /^plugin\.toml calls it "undefined"/],
    ['name = "torn"', /^it is written for api undefined/],
  ])('of a plugin whose plugin.toml is %j', (toml, problem) => {
    plugin('torn', { 'post-deploy': '#!/bin/sh\n' })
    writeFileSync(join(home, 'torn', 'plugin.toml'), toml)
    expect(load()).toMatchObject([{ state: 'unusable', problem: expect.stringMatching(problem) }])
  })

  test('of a folder without plugin.toml', () => {
    mkdirSync(join(home, 'notes'))
    expect(load()).toEqual([])
    expect(loadPlugins([join(home, 'nowhere')], new Map())).toEqual([])
  })
})

test("a user's plugin replaces a bundled one of the same name", () => {
  plugin('same', {})
  const user = mkdtempSync(join(tmpdir(), 'plugins-'))
  const bundled = home
  home = user
  plugin('same', { 'post-deploy': '#!/bin/sh\n' })
  expect(loadPlugins([bundled, user], new Map())).toMatchObject([
    { name: 'same', dir: join(user, 'same'), triggers: ['post-deploy'] },
  ])
  rmSync(bundled, { recursive: true })
})

/** Writes a plugin's folder; every script is executable. */
function plugin(name: string, scripts: Record<string, string>, more = '', api = 'api = 1'): void {
  const dir = join(home, name)
  mkdirSync(dir)
  writeFileSync(join(dir, 'plugin.toml'), `name = "${name}"\nversion = "1.0.0"\n${api}\n${more}`)
  for (const [file, text] of Object.entries(scripts)) {
    writeFileSync(join(dir, file), text, { mode: 0o755 })
  }
}

function load(switches: Record<string, boolean> = {}) {
  return loadPlugins([home], new Map(Object.entries(switches)))
}

type Fired = {
  args?: string[]
  vars?: Record<string, string>
  json?: unknown
  timeoutMs?: number
  signal?: AbortSignal
}

function fire(name: TriggerName, given: Fired = {}): Promise<void> {
  const { args = [], vars = {}, json = {}, timeoutMs = 10_000, signal } = given
  return trigger(load(), { name, args, vars, json }, { say, timeoutMs, signal })
}

function readPids(file: string): number[] {
  try {
    return readFileSync(file, 'utf8').trim().split('\n').map(Number)
  } catch {
    return []
  }
}

async function expectGone(file: string): Promise<void> {
  const pids = readPids(file)
  expect(pids.length).toBeGreaterThan(0)
  await until(() => pids.every((pid) => !isRunning(pid)))
}

/** A zombie whose parent has yet to look is as gone as can be. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function until(is: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!is()) {
    if (Date.now() > deadline) throw new Error('it did not come about within 5 s')
    await pause(10)
  }
}
