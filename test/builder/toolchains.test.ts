import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureStack } from '../../builder/stack.ts'
import { answerOf } from './serving.ts'
import { apps, makeRepo, temporaryConfig, tryBuild } from './support.ts'

const temporary = temporaryConfig('10.92.48.0/20')
const { config } = temporary

beforeAll(async () => {
  await ensureStack(config, () => {})
}, 300_000)

afterAll(() => temporary[Symbol.asyncDispose]())

/** Trees with what each answers, and what its image has for it: never a compiler. */
const served: [tree: string, answer: RegExp, packages: RegExp][] = [
  ['java-plain', /^hello from Java 21, heap 3\d\d MB\n$/, /^openjdk-21-jre-headless$/],
  ['java-maven', /^hello from Java 21, heap 3\d\d MB\n$/, /^openjdk-21-jre-headless$/],
  ['rust-plain', /^hello from Rust\n$/, /^$/],
  ['elixir-plain', /^hello from Elixir 1\.\d+/, /^libncurses6 libsctp1 libssl3t64 [^ ]+ zlib1g$/],
]

test.each(served)('%s is built by its own tools and runs without them', async (...row) => {
  const [tree, answer, packages] = row
  const repo = await makeRepo(config, tree, join(apps, tree))
  const request = async (files?: Record<string, string>) => {
    return { ...(await repo.commit(files)), app: tree, config: {} }
  }
  const first = await tryBuild(config, await request())
  expect(first.error, first.lines.join('\n')).toBeUndefined()
  const apt = first.image?.layers.find(({ kind }) => kind === 'apt')
  expect(apt?.packages?.join(' ') ?? '').toMatch(packages)
  expect(await answerOf(config, first.image)).toMatch(answer)

  const again = await tryBuild(config, await request())
  expect(again.lines).toContain('       build: re-used (the source unchanged)')
}, 900_000)
