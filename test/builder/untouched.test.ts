import { afterAll, beforeAll, expect, test } from 'vitest'
import { untouchedPaths } from '../../builder/source/untouched.ts'
import { makeRepo, type Repo, temporaryConfig } from './support.ts'

const temporary = temporaryConfig()
afterAll(() => temporary[Symbol.asyncDispose]())

let repo: Repo
beforeAll(async () => {
  repo = await makeRepo(temporary.config, 'untouched')
})

const { signal } = new AbortController()

test.each([
  { paths: ['.github/**'], change: '.github/a.yml', counts: true },
  { paths: ['.github/**'], change: 'github/a.yml', counts: false },
  { paths: ['!.github/**'], change: '.github/a.yml', counts: false },
  { paths: ['!.github/**'], change: 'a.txt', counts: true },
  { paths: ['.env*'], change: '.env.example', counts: true },
  { paths: ['./web/', '!./web/docs/'], change: 'web/a.txt', counts: true },
  { paths: ['/web/', '!/web/docs/'], change: 'web/docs/a.txt', counts: false },
  { paths: ['.'], change: 'a.txt', counts: true },
  { paths: ['./'], change: 'web/a.txt', counts: true },
])('Of the paths $paths a change of $change counts: $counts', async ({ paths, change, counts }) => {
  const before = await repo.commit({ [change]: 'old' })
  const commit = await repo.commit({ [change]: 'new' })
  const untouched = await untouchedPaths(commit, before.commit, { paths }, signal)
  expect(untouched).toEqual(counts ? undefined : paths)
})
