import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { stepFailure } from '../../builder/steps/bounds.ts'
import { readConfig } from '../../core/config.ts'
import { makeRepo, temporaryConfig, tryBuild } from './support.ts'

const step = {
  name: 'build',
  kind: 'build' as const,
  title: 'npm run build',
  argv: ['true'],
  env: {},
  configKeys: [],
  configPrefixes: [],
  inputs: { kind: 'tree' as const, why: 'the source' },
  on: [],
  inImage: true,
  shareable: false,
  drop: [],
  hint: 'Try it at home',
}
const result = { code: 1, oom: false, upper: '/nowhere', discard: async () => {} }
const gibibyte = 1024 ** 3

test('a build that has filled one of its directories says of how much, and in which command', () => {
  const disk = [
    { usedBytes: 5, limitBytes: 10 * gibibyte },
    { usedBytes: 10 * gibibyte - 4096, limitBytes: 10 * gibibyte },
  ]
  const failure = stepFailure(step, { ...result, disk }, readConfig({}))
  expect([failure.message, failure.hint]).toEqual([
    'The build used 10.0 of 10.0 GB of disk and ended in "npm run build"',
    'Let the build write less, or raise PAAS_BUILD_DISK (MiB) on the server',
  ])
})

test('a build that failed with room left, or that nobody counted, failed by itself', () => {
  const disk = [{ usedBytes: 5 * gibibyte, limitBytes: 10 * gibibyte }]
  for (const seen of [{ ...result, disk }, result]) {
    expect(stepFailure(step, seen, readConfig({})).message).toContain('exited with 1')
  }
})

test('a build ends at its deadline, and before the disk is full, though it runs no command yet', async () => {
  await using temporary = temporaryConfig()
  const { config } = temporary
  const ssh = join(config.home, 'ssh')
  writeFileSync(ssh, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 })
  const repo = await makeRepo(config, 'app')
  const module = '[submodule "lib"]\n\tpath = lib\n\turl = ssh://localhost/lib\n'
  await repo.commit({ '.gitmodules': module })
  await repo.git('update-index', '--add', '--cacheinfo', `160000,${'a'.repeat(40)},lib`)
  await repo.git('commit', '--quiet', '--message', 'Module')
  const commit = await repo.git('rev-parse', 'HEAD')
  const from = { repo: join(repo.dir, '.git'), gitEnv: {}, commit, ssh: async () => ssh }
  const request = { ...from, app: 'app', config: {} }
  const late = await tryBuild({ ...config, buildTimeoutMs: 300 }, request)
  expect(late.lines[0]).toBe(' !     The build took longer than 0.3 s and was stopped')
  const full = await tryBuild({ ...config, minFreeBytes: 2 ** 60 }, request)
  expect(full.lines[0]).toBe(' !     The build filled the disk of the server and was stopped')
})
