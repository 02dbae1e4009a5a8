import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureStack } from '../../builder/stack.ts'
import { answerOf } from './serving.ts'
import { apps, makeRepo, temporaryConfig, tryBuild } from './support.ts'

const temporary = temporaryConfig()
const { config } = temporary

beforeAll(async () => {
  await ensureStack(config, () => {})
}, 300_000)

afterAll(() => temporary[Symbol.asyncDispose]())

test('A Python app runs on the Python of the suite, its packages in their own layer', async () => {
  const repo = await makeRepo(config, 'py', join(apps, 'python-pip'))
  const request = async (files?: Record<string, string>) => {
    return { ...(await repo.commit(files)), app: 'py', config: {} }
  }
  const first = await tryBuild(config, await request())
  expect(first.lines).toContain('-----> Python detected (requirements.txt)')
  expect(first.lines.join('\n')).toMatch(/Python 3\.13\.\d+ \(\.python-version "3\.13"\)/)
  const kinds = first.image?.layers.map(({ kind }) => kind)
  expect(kinds).toEqual(['stack', 'apt', 'dependencies', 'app'])
  expect(await answerOf(config, first.image)).toBe('hello from Python 3\n')

  const second = await tryBuild(config, await request({ 'notes.txt': 'changed' }))
  expect(second.lines).toContain('       dependencies: re-used (requirements.txt unchanged)')
  const changed = second.image?.layers.filter(({ key }, at) => key !== first.image?.layers[at]?.key)
  expect(changed?.map(({ kind }) => kind)).toEqual(['app'])

  const requirements = readFileSync(join(repo.dir, 'requirements.txt'), 'utf8')
  const third = await tryBuild(config, await request({ 'requirements.txt': `${requirements}\n` }))
  expect(third.lines).toContain('-----> pip install -r requirements.txt')
}, 600_000)

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
