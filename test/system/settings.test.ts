import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeApp, type Paas, startPaas } from './instance.ts'

const odd = `first\nsecond $(id) \`id\` $HOME "q" 'x' \\ \\n ü 日本 🚀\r\n\ttab  end \n`
const large = Array.from({ length: 6554 }, (_, index) => String(index % 10).padStart(10, 'é')).join(
  '',
)

describe('config', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const env = async (app = 'shop'): Promise<Record<string, string>> =>
    JSON.parse((await paas.get(app, '/env')).body)

  test('is imported from an env file, exported in every format and imported again', async () => {
    const file = `A=plain\nB="two\\nlines"\nexport C='$(id)'\n`
    const done = await paas.ssh(['config:import', 'shop'], file)
    expect([done.code, done.stdout.match(/Set \w/g)]).toEqual([0, ['Set A', 'Set B', 'Set C']])
    expect(await env()).toMatchObject({ A: 'plain', B: 'two\nlines', C: '$(id)' })
    const wanted = { A: 'plain', B: 'two\nlines', C: '$(id)' }
    for (const format of ['env', 'json']) {
      const { stdout } = await paas.ssh(['config:export', 'shop', '--format', format])
      await paas.ssh(['config:clear', 'shop', '--no-restart'])
      expect((await paas.ssh(['config:import', 'shop', '--no-restart'], stdout)).code).toBe(0)
      expect(JSON.parse((await paas.ssh(['config:show', 'shop', '--json'])).stdout)).toEqual(wanted)
    }
    const shell = await paas.ssh(['config:export', 'shop', '--format', 'shell'])
    expect(shell.stdout).toBe(`export A=plain\nexport B='two\nlines'\nexport C='$(id)'\n`)
    expect((await paas.ssh(['config:keys', 'shop'])).stdout).toBe('A\nB\nC\n')
    const many = ['K1', 'K2', 'K3', 'K4', 'K5', 'K6', 'K7']
    await paas.paas(['config:set', 'shop', '--no-restart', ...many.map((key) => `${key}=1`)])
    const { stdout: told } = await paas.paas(['events', 'shop'])
    expect(told).toContain('Changed K1, K2, K3, K4, K5 and 2 more for the next release\n')
    await paas.paas(['config:unset', 'shop', '--no-restart', ...many])
    expect((await paas.ssh(['config:export', 'shop', '--format', 'xml'])).code).toBe(2)
  })

  test('a file with a mistake changes nothing and is not quoted', async () => {
    const before = (await paas.ssh(['releases', 'shop'])).stdout
    const bad = await paas.ssh(['config:import', 'shop'], 'A=1\n\nverysecret\n')
    expect(bad.code).toBe(2)
    expect(bad.stderr).toContain(' !     Line 3: expected KEY=value')
    expect(bad.out).not.toContain('verysecret')
    const json = await paas.ssh(['config:import', 'shop'], '{"A": "verysecret", }')
    expect([json.code, json.out.includes('verysecret')]).toEqual([2, false])
    expect((await paas.ssh(['config:import', 'shop'])).code).toBe(2)
    expect((await paas.ssh(['releases', 'shop'])).stdout).toBe(before)
  })

  test('values are byte-exact to 64 KiB, from a file on stdin and as base64', async () => {
    expect(Buffer.byteLength(large)).toBeGreaterThan(65_536)
    const exact = Buffer.from(large)
      .subarray(0, 65_535)
      .toString('utf8')
      .replace(/\uFFFD+$/, 'x')
    expect(
      (await paas.ssh(['config:set', 'shop', 'ODD', '--stdin', '--no-restart'], odd)).code,
    ).toBe(0)
    const base64 = Buffer.from(exact).toString('base64')
    const set = await paas.paas(['config:set', 'shop', '--encoded', `LARGE=${base64}`])
    expect(set.code).toBe(0)
    const seen = await env()
    expect([seen.ODD, seen.LARGE === exact]).toEqual([odd, true])
    const got = await paas.ssh(['config:get', 'shop', 'ODD', '--encoded'])
    expect(Buffer.from(got.stdout, 'base64').toString()).toBe(odd)
    const all = await paas.ssh(['config:export', 'shop', '--encoded', '--format', 'env'])
    const again = await paas.ssh(['config:import', 'shop', '--encoded', '--no-restart'], all.stdout)
    expect(again.stdout).toBe('       Nothing changed\n')
    const more = await paas.ssh(['config:set', 'shop', 'MORE', '--stdin'], `${large}`)
    expect([more.code, more.stderr]).toEqual([
      2,
      expect.stringMatching(/The value of MORE has \d+ bytes; the most is 65536/),
    ])
    expect((await paas.ssh(['config:set', 'shop', '--encoded', 'X=a-b!'])).stderr).toContain(
      'The value of X is not base64',
    )
    expect((await paas.ssh(['config:clear', 'shop'])).code).toBe(0)
    expect((await paas.ssh(['config:show', 'shop'])).stdout).toBe('')
    expect('ODD' in (await env())).toBe(false)
  })

  test('global config reaches every app with its next release, and the app itself wins', async () => {
    await paas.push('other', await paas.tree('other', nodeApp('other')))
    await paas.ssh(['config:set', 'other', 'SHARED=own'])
    const set = await paas.ssh(['config:set', '--global', 'SHARED=all'])
    expect(set.stdout).toContain('The next release of these has it: shop\n')
    expect('SHARED' in (await env())).toBe(false)
    const restarted = await paas.ssh(['ps:restart', 'shop'])
    expect(restarted.code).toBe(0)
    expect((await env()).SHARED).toBe('all')
    expect((await env('other')).SHARED).toBe('own')
    await paas.ssh(['config:unset', 'other', 'SHARED'])
    expect((await env('other')).SHARED).toBe('all')
    expect((await paas.ssh(['config:show', 'other'])).stdout).toBe('')
    expect((await paas.ssh(['config:export', '--global'])).stdout).toBe('SHARED=all\n')
    const unasked = await paas.ssh(['config:clear', '--global'])
    expect([unasked.code, unasked.stderr]).toEqual([1, expect.stringContaining('--global --force')])
    expect((await paas.ssh(['config:clear', '--app', 'shop', '--global', '--force'])).code).toBe(2)
    expect((await paas.ssh(['config:export', '--global'])).stdout).toBe('SHARED=all\n')
    await paas.ssh(['config:clear', '--global', '--force'])
    await paas.ssh(['config:set', 'other', 'Z=1'])
    expect('SHARED' in (await env('other'))).toBe(false)
  })

  test('config that waits for a release survives a scale and comes with a restart', async () => {
    await paas.ssh(['config:set', 'shop', '--no-restart', 'LATER=1'])
    await paas.ssh(['ps:scale', 'shop', 'web=2'])
    expect((await paas.ssh(['config:get', 'shop', 'LATER'])).stdout).toBe('1\n')
    await paas.ssh(['ps:restart', 'shop'])
    expect((await env()).LATER).toBe('1')
    expect((await paas.ssh(['ps:scale', 'shop'])).stdout).toContain('web=2')
    await paas.ssh(['config:set', 'shop', '--no-restart', 'LATER=2'])
    const same = await paas.ssh(['config:set', 'shop', '--no-restart', 'LATER=2'])
    expect([same.stdout, (await env()).LATER]).toEqual(['       Nothing changed\n', '1'])
    await paas.ssh(['config:set', 'shop', 'LATER=2']) // set already, but nowhere to be seen
    expect((await env()).LATER).toBe('2')
    const again = await paas.ssh(['config:set', 'shop', 'LATER=2'])
    expect(again.stdout).toBe('       Nothing changed\n')
    await paas.ssh(['config:unset', 'shop', '--no-restart', 'LATER'])
    await paas.ssh(['config:unset', 'shop', 'LATER'])
    expect('LATER' in (await env())).toBe(false)
    await paas.ssh(['config:set', 'shop', 'LATER=1', 'NOW=1'])
    expect((await paas.ssh(['ps:scale', 'shop'])).stdout).toContain('web=2')
  })

  test('releases:info tells who, why, what, and only the keys of config', async () => {
    await paas.ssh(['config:set', '--global', 'EVERY=globalsecret'])
    await paas.ssh(['config:set', 'shop', 'TOKEN=topsecretvalue'])
    const info = await paas.ssh(['releases:info', 'shop'])
    expect(info.stdout).toMatch(/cause: +Set TOKEN/)
    expect(info.stdout).toMatch(/configKeys: +(\w+, )*LATER, NOW, TOKEN/)
    expect(info.out).not.toMatch(/topsecretvalue|globalsecret/)
    const begins = info.stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.search(/(?<=: +)[^ ]/))
    expect([...new Set(begins)]).toHaveLength(1) // one column
    const { stdout } = await paas.ssh(['releases:info', 'shop', '--json'])
    expect(JSON.parse(stdout)).toMatchObject({
      release: expect.stringMatching(/^v\d+$/),
      by: 'tester',
      status: 'current',
      commit: expect.stringMatching(/^[0-9a-f]{40}$/),
      layers: expect.arrayContaining([expect.objectContaining({ kind: 'stack' })]),
      formation: { web: 2 },
      globalConfigKeys: ['EVERY'],
    })
    expect((await paas.ssh(['releases:info', 'shop', 'v99'])).stderr).toContain('There is: v')
    await paas.ssh(['config:clear', '--global', '--force'])
  })
})

describe('secrets', () => {
  let paas: Paas
  beforeAll(async () => (paas = await startPaas()))
  afterAll(() => paas[Symbol.asyncDispose]())

  test('planted ones are found in no file, log or command line, and masked in output', async () => {
    const planted = Array.from({ length: 50 }, (_, index) => `pLaNtEd-${index}-sEcReT-9f3a`)
    const lines = planted.map((value, index) => `NPM_CONFIG_KEY${index}=${value}`)
    lines.push(`NODE_ENV=${planted[0]}`, `MULTI="begin-pLaNtEd\\nend-pLaNtEd"`, 'SHORT=xyz')
    const plugin = join(paas.config.home, 'plugins', 'talker')
    const { mkdir, writeFile } = await import('node:fs/promises')
    await mkdir(plugin, { recursive: true })
    const toml = 'name = "talker"\nversion = "1"\napi = 1\ndescription = "Prints what it is told"\n'
    await writeFile(join(plugin, 'plugin.toml'), toml)
    await writeFile(join(plugin, 'pre-deploy'), '#!/bin/sh\ncat\necho plugin-spoke\n', {
      mode: 0o755,
    })
    await paas.paas(['plugin:list'])
    await paas.paas(['plugin:enable', 'talker'])
    await paas.ssh(['apps:create', 'vault'])
    expect((await paas.ssh(['config:import', 'vault'], lines.join('\n'))).code).toBe(0)
    await paas.ssh(['config:set', '--global', '--stdin', 'GLOBAL'], 'pLaNtEd-global-value')
    const commandLines = new Set<string>()
    const files = {
      ...nodeApp('vault'),
      Procfile: 'web: node server.js\nrelease: env; echo released $SHORT\n',
      'package.json': JSON.stringify({
        scripts: { start: 'node server.js', build: 'env; echo built' },
      }),
    }
    const tree = await paas.tree('vault', files)
    const push = await whileReading(commandLines, () => paas.push('vault', tree))
    expect([push.code, push.out]).toEqual([0, expect.stringContaining('built')])
    expect(push.out).toContain('plugin-spoke')
    expect(push.out).toContain('released xyz') // shorter than 4 characters: not masked
    expect(push.out).toContain('NPM_CONFIG_KEY7=****')
    expect(push.out).not.toContain('pLaNtEd')
    const environment: Record<string, string> = JSON.parse((await paas.get('vault', '/env')).body)
    expect(environment).toMatchObject({
      NPM_CONFIG_KEY7: planted[7],
      GLOBAL: 'pLaNtEd-global-value',
    })
    await paas.tree('vault', { ...files, Procfile: 'web: node server.js\nrelease: env; exit 3' })
    const failed = await whileReading(commandLines, () => paas.push('vault', tree))
    expect([failed.code === 0, failed.out.includes('pLaNtEd')]).toEqual([false, false])
    expect([...commandLines].join('\n')).toMatch(/git .*receive-pack/) // it looks often enough
    expect([...commandLines].filter((line) => line.includes('pLaNtEd'))).toEqual([])
    await pause(1500) // whatever is written behind
    expect(await filesHolding(paas.config.home, 'pLaNtEd')).toEqual([])
    expect(paas.daemonLog()).not.toContain('pLaNtEd')
  })

  test('the key outlives the daemon, and the config with it', async () => {
    await paas.killDaemon()
    await paas.startDaemon()
    expect((await paas.ssh(['config:get', 'vault', 'SHORT'])).stdout).toBe('xyz\n')
    expect(statSync(join(paas.config.home, 'config.key')).mode & 0o777).toBe(0o600)
  })
})

/** Adds to `seen` every command line that there is at some moment of `work`. */
async function whileReading<T>(seen: Set<string>, work: () => Promise<T>): Promise<T> {
  const look = setInterval(() => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      seen.add(textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' '))
    }
  }, 20)
  try {
    return await work()
  } finally {
    clearInterval(look)
  }
}

async function filesHolding(dir: string, text: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    if (await holds(path, text)) found.push(path)
  }
  return found
}

async function holds(path: string, text: string): Promise<boolean> {
  let rest = ''
  try {
    for await (const chunk of createReadStream(path, {
      encoding: 'latin1',
      highWaterMark: 1 << 20,
    })) {
      const part = rest + String(chunk)
      if (part.includes(text)) return true
      rest = part.slice(-text.length)
    }
  } catch {
    return false // it went away meanwhile
  }
  return false
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
