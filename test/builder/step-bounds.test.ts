import { expect, test } from 'vitest'
import { stepFailure } from '../../builder/step-bounds.ts'
import { readConfig } from '../../core/config.ts'

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
