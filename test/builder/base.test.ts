import { expect, test } from 'vitest'
import type { Base } from '../../builder/base/base.ts'
import { envOnBase, refuseUnfit } from '../../builder/base/on-base.ts'
import type { Plan } from '../../builder/buildpack-detect/plan.ts'
import { parseOwnName } from '../../builder/image/own-name.ts'
import type { ChosenTool } from '../../builder/runtimes/tools.ts'
import { failureLines } from '../../core/errors.ts'

const base = (changes: Partial<Base> = {}): Base => ({
  name: 'example.com/base:v1',
  from: 'builder:set',
  digest: 'sha256:0',
  release: undefined,
  layers: [],
  env: {},
  packages: [],
  has: { shell: true, glibc: true, certificates: true },
  ...changes,
})

const plan: Plan = {
  ...{ language: 'Node', because: 'package.json', tools: [], userApt: [], steps: [] },
  ...{ apt: { run: ['libpq5'], build: [] }, processes: {}, processesFrom: '', env: {} },
  warnings: [],
}

const node: ChosenTool = {
  request: {
    ...{ tool: 'node', constraint: undefined, pin: undefined, choose: '', inImage: true },
  },
  choice: { version: '24.1.0', why: '', warnings: [] },
  label: 'Node 24.1.0',
  layer: { kind: 'runtime', key: 'node-24.1.0', label: 'Node 24.1.0' },
  packages: { run: [], build: [] },
  buildEnv: {},
}

test("A base's environment lies below the plan's, its programs behind those of paas", () => {
  const env = { PATH: '/opt/go/bin:/usr/bin', HOME: '/root', PORT: '80', LANG: 'C', A: 'base' }
  expect(envOnBase(base({ env }), { PATH: '/app/bin:/usr/local/bin:/bin', A: 'plan' })).toEqual({
    LANG: 'C',
    A: 'plan',
    PATH: '/app/bin:/usr/local/sbin:/usr/local/bin:/opt/go/bin:/usr/bin:/usr/sbin:/sbin:/bin',
  })
})

test('What an app needs of Debian is in its base, or it is refused with what is missing', () => {
  const libpq = { name: 'libpq5', version: '17.2-1', architecture: 'amd64', source: undefined }
  expect(() => refuseUnfit(base({ packages: [libpq] }), plan, [node])).not.toThrow()
  expect(refused(base())).toEqual([
    ' !     The base example.com/base:v1 (builder:set) does not have libpq5',
    ' !     Have it in the base: RUN apt-get install …',
    ' !     Or write a Dockerfile, or take the stack again: builder:set <app> base stack',
  ])
})

test('A base of another C library cannot have our runtimes', () => {
  const has = { shell: true, glibc: false, certificates: true }
  expect(refused(base({ has }))[0]).toBe(
    ' !     The base example.com/base:v1 (builder:set) has no glibc, which Node 24.1.0 needs',
  )
})

test('A release is named by its app and its number', () => {
  expect(parseOwnName('paas/shop')).toEqual({ app: 'shop', version: undefined })
  expect(parseOwnName('paas/shop:v12')).toEqual({ app: 'shop', version: 12 })
  expect(parseOwnName('docker.io/paas/shop:v12')).toBeUndefined()
  for (const bad of ['paas/Shop', 'paas/shop:12', 'paas/shop:v1:v2', 'paas/', 'paas/a/b']) {
    expect(() => parseOwnName(bad)).toThrow(/is not/)
  }
})

function refused(on: Base): string[] {
  try {
    refuseUnfit(on, plan, [node])
    return []
  } catch (error) {
    return failureLines(error)
  }
}
