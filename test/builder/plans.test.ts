import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { detect } from '../../builder/buildpack-detect/detect.ts'
import { planDockerfile } from '../../builder/docker/plan.ts'
import { openSource } from '../../builder/source/source.ts'
import { failureLines } from '../../core/errors.ts'
import { apps } from './support.ts'

const plans = join(import.meta.dirname, 'plans')

test('There is a plan for every tree, and no other', () => {
  expect(readdirSync(plans).sort()).toEqual(
    readdirSync(apps)
      .map((app) => `${app}.json`)
      .sort(),
  )
})

/** Every tree of test/apps has its plan in plans/, or the failure that it is. */
test.each(readdirSync(apps))('The plan of %s is the one that was agreed', async (app) => {
  const expected = join(plans, `${app}.json`)
  await expect(`${JSON.stringify(planOf(app), null, 2)}\n`).toMatchFileSnapshot(expected)
})

function planOf(app: string): unknown {
  try {
    const source = openSource(join(apps, app))
    return planDockerfile(source, undefined) ?? detect(source, undefined)
  } catch (error) {
    return { failure: failureLines(error) }
  }
}
