import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { triggers } from '../../plugins/names.ts'
import { freePort } from '../ports.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

const lineOfAPush = [
  'user-auth',
  'post-create',
  'receive-branch',
  'post-extract',
  'pre-build',
  'post-build',
  'pre-release',
  'post-release',
  'pre-deploy',
  'pre-start',
  'check-deploy',
  'pre-switch',
  'post-deploy',
  'urls',
]

describe('plugins', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const heardFile = () => join(paas.base, 'heard')
  const heard = () => (existsSync(heardFile()) ? linesOf(readFileSync(heardFile(), 'utf8')) : [])

  async function writePlugin(name: string, scripts: Record<string, string>): Promise<void> {
    const dir = join(paths(paas.config).plugins, name)
    rmSync(dir, { recursive: true, force: true })
    await mkdir(dir, { recursive: true })
    await writeFile(join(dir, 'plugin.toml'), `name = "${name}"\nversion = "1.0.0"\napi = 1\n`)
    for (const [trigger, body] of Object.entries(scripts)) {
      await writeFile(join(dir, trigger), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
    }
  }

  test('hear every trigger of a push, in order', async () => {
    const note = `echo "$PAAS_TRIGGER $*" >> ${heardFile()}`
    await writePlugin('ear', Object.fromEntries(Object.keys(triggers).map((name) => [name, note])))
    const result = await paas.push('shop', await paas.tree('shop', nodeApp('one')))
    expect(result.code).toBe(0)
    expect(heard().map((line) => line.split(' ')[0])).toEqual(lineOfAPush)
    expect(heard()[0]).toBe('user-auth tester git-receive-pack shop')
    expect(heard().find((line) => line.startsWith('receive-branch'))).toMatch(
      /^receive-branch main [0-9a-f]{40}$/,
    )
  })

  test('hear the other triggers at their place', async () => {
    const calls = [
      [['config:set', 'shop', 'A=1', 'B=2'], 'post-config-update A B'],
      [['domains:add', 'shop', 'a.example'], 'post-domains-update a.example'],
      [['ps:scale', 'shop', 'web=2'], 'post-scale web=2'],
      [['apps:create', 'other'], 'post-create'],
      [['apps:destroy', 'other', '--force'], 'pre-destroy'],
      [['apps:create', 'third'], 'post-create'],
      [['apps:destroy', 'third', '--force'], 'post-destroy'],
      [['apps:info', 'shop'], 'urls'],
      [['keys:list'], 'user-auth tester keys:list'],
      [
        ['config:set', 'shop', 'C=1=2', '--no-restart'],
        'user-auth tester config:set shop C=*** --no-restart',
      ],
      [
        ['run', '--env', 'A=1', '--env=B=2', 'shop', 'true', 'C=3'],
        'user-auth tester run --env A=*** --env=B=*** shop true C=3',
      ],
      [
        ['logs:drain', 'remove', 'shop', 'https://me:secret@x.example/a'],
        'user-auth tester logs:drain remove shop https://***@x.example/a',
      ],
      [['config:unset', 'shop', 'D=secret'], 'user-auth tester config:unset shop D=***'],
    ] as const
    for (const [call, line] of calls) {
      rmSync(heardFile(), { force: true })
      await paas.ssh([...call])
      expect(heard()).toContain(line)
    }
    rmSync(heardFile(), { force: true })
    await paas.ssh(['ps:scale', 'shop', 'web=1'])
    await until('the container that is too many has stopped', () =>
      heard().includes('post-stop web.2'),
    )
    await paas.ssh(['enter', 'shop', 'web.1', 'sh', '-c', "'kill -9 $(pidof node)'"])
    await until('the death is heard of', () => heard().includes('process-died web.1 137'))
    await until('it runs again', async () => (await paas.get('shop')).status === 200)
  })

  test('print into the stream of the pusher, and a failing pre-* stops the deploy', async () => {
    await writePlugin('ear', {
      'post-build': 'echo "built $PAAS_APP"',
      'pre-deploy': 'echo not today; exit 4',
      'deploy-failed': `echo "$PAAS_ERROR" > ${heardFile()}`,
    })
    const result = await paas.push('shop', await paas.tree('shop', nodeApp('two')))
    expect(result.out).toContain('       built shop')
    expect(result.out).toContain('       not today')
    expect(result.out).toContain(' !     Plugin "ear" failed in pre-deploy: it exited with 4')
    expect(result.code).not.toBe(0)
    expect(heard()).toEqual(['Plugin "ear" failed in pre-deploy: it exited with 4'])
    expect((await paas.get('shop')).body).toBe('one')
  })

  test('that hear of a deploy when its client has gone do not undo it', async () => {
    await writePlugin('ear', { 'post-deploy': `echo on >> ${heardFile()}; sleep 2` })
    const dir = await paas.tree('shop', nodeApp('gone'))
    const ref = ['HEAD:refs/heads/main']
    rmSync(heardFile(), { force: true })
    const client = spawnGroup('git', ['push', '--force', 'paas@127.0.0.1:shop', ...ref], {
      cwd: dir,
      env: { ...paas.env, GIT_SSH_COMMAND: paas.sshCommand.join(' ') },
      stdio: 'ignore',
    })
    await until('the script runs', () => heard().includes('on'))
    await killGroup(client, 0)
    const pushed = await commitAt(dir, 'HEAD')
    const repo = paths(paas.config).repo('shop')
    await until('the branch has moved', async () => (await commitAt(repo, 'main')) === pushed, 8000)
    expect((await paas.get('shop')).body).toBe('gone')
    const { stdout } = await paas.ssh(['events', 'shop', '--json'])
    expect(JSON.parse(stdout).at(-1)).toMatchObject({ kind: 'changed' })
  })

  test('may call paas back without waiting for themselves', async () => {
    await writePlugin('ear', {
      'pre-release': `paas config:get shop A; paas config:set shop A=9 2>&1; echo "exit $?"`,
    })
    const result = await paas.push('shop', await paas.tree('shop', nodeApp('three')))
    expect(result.out).toMatch(/ {7}1\s/)
    expect(result.out).toContain('shop is being changed by what this plugin was called for')
    expect(result.out).toContain('exit 75')
    expect(result.code).toBe(0)
  })

  test('may have commands of their own, with help and exit status', async () => {
    const toml = `[commands.greet]\nusage = "APP [WORD ...]"\nsummary = "Greet an app"\n
[commands.count]\nusage = "[NUMBER ...]"\n[commands.set]\n`
    const script = 'echo "$PAAS_USER: $* $PAAS_APP $A"; echo oops >&2; [ "$1" = greet ] || exit 5'
    await writePlugin('ear', { commands: script })
    const file = join(paths(paas.config).plugins, 'ear', 'plugin.toml')
    await writeFile(file, `${readFileSync(file, 'utf8')}${toml}`)
    const greeted = await paas.ssh(['ear:greet', 'shop', 'good', '--morning'])
    expect([greeted.code, greeted.stdout]).toEqual([
      0,
      expect.stringContaining('tester: greet good --morning shop'),
    ])
    expect((await paas.ssh(['ear:greet', 'shpo'])).code).toBe(20)
    const counted = await paas.ssh(['ear:count', '1', '2'])
    expect([counted.code, counted.stdout]).toEqual([5, expect.stringContaining('count 1 2')])
    expect((await paas.ssh(['help'])).stdout).toMatch(/ear:greet APP \[WORD \.\.\.\] +Greet an app/)
    expect((await paas.ssh(['help', 'ear'])).stdout).toContain('ear:count')
    await paas.ssh(['plugin:disable', 'ear'])
    expect((await paas.ssh(['ear:greet', 'shop'])).code).toBe(2)
    await paas.ssh(['plugin:enable', 'ear'])
    await writeFile(file, 'name = "ear"\napi = 1\ncommands = "none"\n')
    expect((await paas.ssh(['plugin:list'])).stdout).toContain('unusable')
  })

  test('may know of more URLs of an app', async () => {
    await writePlugin('ear', { urls: 'echo "https://$PAAS_APP.tunnel.example"; echo a word' })
    const { stdout } = await paas.ssh(['domains:report', 'shop'])
    expect(stdout).toContain('       https://shop.tunnel.example\n')
    const info = JSON.parse((await paas.ssh(['apps:info', 'shop', '--json'])).stdout)
    expect(info.urls).toContain('https://shop.tunnel.example')
    const pushed = await paas.push('shop', await paas.tree('shop', nodeApp('three')))
    expect(pushed.out).toContain('       https://shop.tunnel.example')
    await writePlugin('ear', { urls: 'exit 3' })
    const failed = await paas.ssh(['domains:report', 'shop'])
    expect([failed.code, failed.stderr]).toEqual([0, expect.stringContaining('it exited with 3')])
  })

  test('may refuse what a user asks and say why, with exit status 21', async () => {
    await writePlugin('ear', {
      'user-auth': 'case $2 in apps:list|git-*) echo "ask the owner of $3"; exit 1; esac',
    })
    const refused = await paas.ssh(['apps:list'])
    expect(refused.code).toBe(21)
    expect(refused.stderr).toContain('       ask the owner of')
    expect(refused.stderr).toContain('tester may not do this')
    const dir = await paas.tree('shop', {})
    for (const words of [['ls-remote'], ['push', '--force']]) {
      const app = words[0] === 'push' ? 'unborn' : 'shop'
      const asked = await exec('git', [...words, `paas@127.0.0.1:${app}`, 'HEAD'], {
        cwd: dir,
        env: { ...paas.env, GIT_SSH_COMMAND: paas.sshCommand.join(' ') },
        accept: [1, 128],
      })
      expect(asked.stderr).toContain(`       ask the owner of ${app}\n`)
      expect(asked.stderr).toContain(' !     tester may not do this')
    }
    expect(existsSync(paths(paas.config).repo('unborn'))).toBe(false)
    expect((await paas.ssh(['ps', 'shop'])).code).toBe(0)
    expect((await paas.paas(['apps:list'])).code).toBe(0)
  })

  test('can be switched off and on, and one that is broken says why', async () => {
    await writePlugin('ear', { 'pre-deploy': 'exit 1' })
    await paas.ssh(['plugin:disable', 'ear'])
    const result = await paas.push('shop', await paas.tree('shop', nodeApp('four')))
    expect(result.code).toBe(0)
    await writeFile(
      join(paths(paas.config).plugins, 'ear', 'plugin.toml'),
      'name = "ear"\napi = 2\n',
    )
    const enabled = await paas.ssh(['plugin:enable', 'ear'])
    expect(enabled.code).toBe(1)
    expect(enabled.stderr).toContain('it is written for api 2; this paas speaks 1')
  })

  test('the bundled one posts each deploy to the webhook of the app', async () => {
    const posts: unknown[] = []
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        posts.push(JSON.parse(Buffer.concat(chunks).toString('utf8')))
        response.end()
      })
    })
    const port = await freePort()
    await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
    try {
      await paas.ssh(['plugin:enable', 'deploy-webhook'])
      await paas.ssh(['config:set', 'shop', `DEPLOY_WEBHOOK_URL=http://127.0.0.1:${port}/`])
      const result = await paas.push('shop', await paas.tree('shop', nodeApp('five')))
      expect(result.code).toBe(0)
      expect(posts.at(-1)).toMatchObject({ event: 'deployed', app: 'shop', release: 'v9' })
    } finally {
      server.close()
    }
  })
})

async function commitAt(repo: string, name: string): Promise<string> {
  return (await exec('git', ['rev-parse', name], { cwd: repo })).stdout.trim()
}

function linesOf(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd())
}
