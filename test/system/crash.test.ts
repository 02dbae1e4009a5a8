import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

/** The daemon is killed by a plugin at each place of the line where a plugin is called. */
const steps = [
  'receive-branch',
  'post-extract',
  'pre-build',
  'post-build',
  'pre-release',
  'post-release',
  'pre-deploy',
  'check-deploy',
  'pre-switch',
  'post-deploy',
]

describe('a daemon killed in the middle of a deploy', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas({ PAAS_DRAIN_TIMEOUT: '1' })
    const result = await paas.push('shop', await paas.tree('shop', nodeApp('first')))
    expect(result.out).toContain('Application deployed')
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  test.each(steps)('at %s: old or new serves, and the next push works', async (step) => {
    const before = (await paas.get('shop')).body
    await writeAssassin(paas, step)
    await paas.paas(['plugin:enable', 'assassin'])
    const dir = await paas.tree('shop', nodeApp(`killed at ${step}`))
    const killed = await paas.push('shop', dir)
    expect(killed.code).not.toBe(0)
    expect([before, `killed at ${step}`]).toContain((await paas.get('shop')).body)

    await writeAssassin(paas, 'nothing')
    await paas.startDaemon()
    expect([before, `killed at ${step}`]).toContain((await paas.get('shop')).body)
    await paas.tree('shop', nodeApp(`after ${step}`))
    const next = await paas.push('shop', dir)
    expect(next.out).toContain('Application deployed')
    expect((await paas.get('shop')).body).toBe(`after ${step}`)
    await until('one container is left', async () => {
      const { stdout } = await paas.ssh(['ps', 'shop', '--json'])
      return JSON.parse(stdout).length === 1
    })
  })
})

/** A plugin that kills the daemon from its one trigger. */
async function writeAssassin(paas: Paas, step: string): Promise<void> {
  const dir = join(paths(paas.config).plugins, 'assassin')
  await exec('rm', ['-rf', '--', dir])
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, 'plugin.toml'), 'name = "assassin"\nversion = "1.0.0"\napi = 1\n')
  const script = `#!/bin/sh\nkill -9 ${paas.daemonPid()}\n`
  await writeFile(join(dir, step), script, { mode: 0o755 })
}
