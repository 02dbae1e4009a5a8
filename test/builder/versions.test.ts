import { expect, test } from 'vitest'
import { isLts, versionText } from '../../builder/buildpack-detect/node-version.ts'
import type { ToolRequest } from '../../builder/buildpack-detect/plan.ts'
import { chooseVersion, noVersion } from '../../builder/runtimes/versions.ts'
import { failureLines } from '../../core/errors.ts'

const available = ['18.20.8', '20.9.0', '22.11.0', '22.22.0', '24.1.0', '24.21.0', '26.10.0']

const cases: [engines: string | null, pin: string | null, version: string, warnings: number][] = [
  [null, null, '24.21.0', 0],
  ['>=18', null, '26.10.0', 0],
  ['>=18 <25', null, '24.21.0', 0],
  ['22.x', null, '22.22.0', 0],
  ['^26', null, '26.10.0', 0],
  ['24.1.0', null, '24.1.0', 0],
  [null, 'v22.11.0', '22.11.0', 0],
  [null, '22', '22.22.0', 0],
  [null, 'node', '26.10.0', 0],
  [null, 'lts/*', '24.21.0', 0],
  [null, 'lts/jod', '22.22.0', 0],
  [null, 'lts/-1', '22.22.0', 0],
  [null, 'lts/iron', '20.9.0', 0],
  ['>=20', '22.11.0', '22.11.0', 0],
  ['>=24', '22.11.0', '26.10.0', 1],
  ['20 || 22', null, '22.22.0', 0],
]

test.each(cases)('engines %j with pin %j is Node %s', (engines, pin, version, warnings) => {
  const choice = chooseVersion(request(engines, pin), { available, isStable: isLts })
  expect(choice?.version).toBe(version)
  expect(choice?.warnings).toHaveLength(warnings)
})

test('The reason names the file and the words', () => {
  const rules = { available, isStable: isLts }
  expect(chooseVersion(request('>=24', null), rules)?.why).toBe(
    'engines.node ">=24" in package.json',
  )
  expect(chooseVersion(request(null, '22'), rules)?.why).toBe('.nvmrc "22"')
  expect(chooseVersion(request('>=24', '22'), rules)?.warnings).toEqual([
    '.nvmrc "22" does not satisfy engines.node ">=24" in package.json, which decides',
  ])
})

test('A range that nothing satisfies is named with its file and what there is', () => {
  const asked = request('>=99', null)
  expect(chooseVersion(asked, { available, isStable: isLts })).toBeUndefined()
  expect(failureLines(noVersion('Node', asked, available))).toEqual([
    ' !     No Node version satisfies engines.node ">=99" in package.json',
    ' !     Available: 18.20.8, 20.9.0, 22.22.0, 24.21.0, 26.10.0',
    ' !     To choose: "engines": {"node": "24.x"} in package.json',
  ])
})

function request(engines: string | null, pin: string | null): ToolRequest {
  return {
    tool: 'node',
    constraint: engines === null ? undefined : versionText(engines, 'engines.node in package.json'),
    pin: pin === null ? undefined : versionText(pin, '.nvmrc'),
    choose: '"engines": {"node": "24.x"} in package.json',
    inImage: true,
  }
}
