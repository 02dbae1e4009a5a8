import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { nodeApp, type Paas, startPaas } from './instance.ts'
import { runBundle } from './plain-runc.ts'

describe('an exported image', () => {
  let paas: Paas
  const at = (name: string) => join(paas.base, name)
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', nodeApp('hello image')))
    await paas.ssh(['config:set', 'shop', 'API_TOKEN=a-secret-value'])
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const exportTo = (file: string, ...args: string[]) =>
    exec('sh', ['-c', 'out=$1; shift; exec "$@" > "$out"', 'sh', at(file), ...args], {
      timeoutMs: 120_000,
    })
  const overSsh = () => [...paas.sshCommand, 'paas@127.0.0.1', 'images:export', 'shop']

  test('is the same bytes every time, through every door, for equal builds', async () => {
    await exportTo('one.tar', ...overSsh())
    await exportTo('two.tar', ...overSsh())
    const sum = (file: string) =>
      createHash('sha256')
        .update(readFileSync(at(file)))
        .digest('hex')
    expect(sum('one.tar')).toBe(sum('two.tar'))
    const first = await exec('tar', ['-tvf', at('one.tar')])
    expect(first.stdout).toContain('oci-layout')
  })

  test('answers a request under plain runc, unpacked by skopeo and umoci', async () => {
    const archive = `oci-archive:${at('one.tar')}`
    await exec('skopeo', ['copy', archive, `oci:${at('layout')}:shop`], { timeoutMs: 120_000 })
    const args = ['unpack', '--image', `${at('layout')}:shop`, at('bundle')]
    await exec('umoci', args, { timeoutMs: 120_000 })
    await using running = await runBundle(at('bundle'))
    expect(await running.get(5000)).toBe('hello image')
  })

  test('holds no config of the app, and names app and commit', async () => {
    const { stdout } = await exec('skopeo', ['inspect', '--config', `oci:${at('layout')}:shop`])
    const { config } = JSON.parse(stdout)
    const { stdout: commit } = await exec('git', ['rev-parse', 'HEAD'], { cwd: at('shop') })
    expect(config).toMatchObject({
      WorkingDir: '/app',
      User: '32767:32767',
      Cmd: ['/bin/sh', '-c', 'exec node server.js'],
      Labels: { 'paas.app': 'shop', 'org.opencontainers.image.revision': commit.trim() },
    })
    expect(config.Env).toContain('PORT=5000')
    await exec('grep', ['-c', 'a-secret-value', at('one.tar')], { accept: [1] })
  })

  test('of an older release is had by its number, and is not written to a terminal', async () => {
    await exportTo('old.tar', ...overSsh(), 'v1')
    const { stdout } = await exec('tar', ['-xOf', at('old.tar'), 'index.json'])
    expect(JSON.parse(stdout).manifests[0].annotations).toMatchObject({ 'paas.release': 'v1' })
    const none = await paas.ssh(['images:export', 'shop', 'v9'])
    expect([none.code, none.stdout]).toEqual([1, ''])
    expect(none.stderr).toContain('shop has no release "v9"')
  })
})
