import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureStack } from '../../builder/stack/stack.ts'
import { apps, makeRepo, temporaryConfig, tryBuild } from './support.ts'

const temporary = temporaryConfig()
const { config } = temporary

beforeAll(async () => {
  await ensureStack(config, () => {})
}, 300_000)

afterAll(() => temporary[Symbol.asyncDispose]())

test('A Python that the suite has not is refused, with the one that it has', async () => {
  const repo = await makeRepo(config, 'old', join(apps, 'python-pip'))
  const { lines } = await tryBuild(config, {
    ...(await repo.commit({ '.python-version': '3.9\n' })),
    app: 'old',
    config: {},
  })
  expect(lines.slice(-3)).toEqual([
    ' !     No Python version satisfies .python-version "3.9"',
    expect.stringMatching(/^ !     Available: 3\.13\.\d+$/),
    ' !     To choose: .python-version with a line such as 3.13',
  ])
}, 60_000)
