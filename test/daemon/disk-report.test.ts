import { expect, test } from 'vitest'
import { largestUsers, ledger, showBytes } from '../../daemon/disk/disk-report.ts'

const use = (key: string, kind: string, app: string, version: number) => {
  return { key, kind, label: kind, app, version }
}
const size = (bytes: number) => ({ bytes, at: '2026-11-21T00:00:00Z' })

const report = ledger({
  free: 5e9,
  total: 10e9,
  apps: ['blog', 'shop'],
  storages: ['uploads'],
  uses: [
    use('stack', 'stack', 'blog', 1),
    use('deps', 'dependencies', 'blog', 1),
    use('stack', 'stack', 'shop', 1),
    use('deps', 'dependencies', 'shop', 1),
    use('stack', 'stack', 'shop', 2),
    use('deps', 'dependencies', 'shop', 2),
    use('tree', 'app', 'shop', 2),
  ],
  layers: new Map([
    ['stack', { madeFrom: [], shared: true }],
    ['deps', { madeFrom: ['dev-deps'], shared: false }],
    ['dev-deps', { madeFrom: [], shared: false }],
    ['tree', { madeFrom: [], shared: false }],
    ['lost', { madeFrom: [], shared: false }],
  ]),
  sizes: new Map([
    ['layer stack', size(130e6)],
    ['layer deps', size(40e6)],
    ['layer dev-deps', size(20e6)],
    ['layer tree', size(1e6)],
    ['layer lost', size(3e6)],
    ['cache shop', size(7e6)],
    ['storage uploads', size(900e6)],
  ]),
})

test('A layer counts its releases, and belongs to every app that stands on it', () => {
  const deps = report.layers.find(({ key }) => key === 'deps')
  expect(deps).toMatchObject({ references: 3, apps: ['blog', 'shop'], shared: false })
  expect(deps?.releases).toEqual(['blog v1', 'shop v1', 'shop v2'])
  expect(report.layers.find(({ key }) => key === 'dev-deps')).toMatchObject({
    references: 0,
    apps: ['blog', 'shop'],
  })
})

test('An app’s space is of its own layers and files; what nobody needs is garbage', () => {
  const [shop, blog] = report.apps
  expect(shop).toMatchObject({ app: 'shop', layers: 61e6, buildCache: 7e6, total: 68e6 })
  expect(blog).toMatchObject({ app: 'blog', layers: 60e6, total: 60e6 })
  expect(report).toMatchObject({ garbage: 3e6, shared: 130e6 })
})

test('The largest users are named in their order', () => {
  const names = largestUsers(report, 3).map(({ name, bytes }) => `${name}: ${showBytes(bytes)}`)
  expect(names).toEqual([
    'storage uploads: 900 MB',
    'stacks and runtimes: 130 MB',
    'app shop: 68.0 MB',
  ])
})

test('Bytes are shown as df -H counts them', () => {
  expect([0, 999, 1500, 2_147_483_648].map(showBytes)).toEqual(['0 B', '999 B', '1.5 kB', '2.1 GB'])
})
