import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Paas, startPaas } from './instance.ts'

let paas: Paas
beforeAll(async () => {
  paas = await startPaas()
}, 300_000)
afterAll(() => paas[Symbol.asyncDispose]())

type Pushed = { app: string; said: (string | RegExp)[]; answer: string; layers: string }

const pruned = '1m, built with 7, without tools\n'

const pushed: Pushed[] = [
  {
    app: 'node-pnpm',
    said: [/pnpm 10\.\d+\.\d+ \(lockfileVersion/, '-----> pnpm install --frozen-lockfile --prod'],
    answer: pruned,
    layers: 'Node, pnpm, dependencies, source, build',
  },
  {
    app: 'node-yarn-1',
    said: [/Yarn 1\.22\.\d+ /, '-----> yarn install --frozen-lockfile'],
    answer: pruned,
    layers: 'Node, Yarn, dependencies, source, build',
  },
  {
    app: 'node-yarn-pnp',
    said: ['-----> yarn workspaces focus --production', 'web: yarn start (scripts.start'],
    answer: pruned,
    layers: 'Node, Yarn, dependencies, source, build',
  },
  {
    app: 'node-workspace-npm',
    said: ['package.json in services/web/', '-----> npm run build in packages/greet/'],
    answer: 'hello 1m built by 7\n',
    layers: 'apt, Node, dependencies, source, build',
  },
  {
    app: 'node-workspace-pnpm',
    said: ['pnpm 12.21.0 (packageManager', '-----> pnpm run build in packages/greet/'],
    answer: 'hello 1m built by 7\n',
    layers: 'apt, Node, pnpm, dependencies, source, build',
  },
  {
    app: 'node-workspace-yarn',
    said: ['-----> yarn workspaces focus --production @shop/web'],
    answer: 'hello 1m built by 7\n',
    layers: 'Node, Yarn, dependencies, source, build',
  },
  {
    app: 'bun-serve',
    said: ['Bun detected (bun.lock)', /Bun 1\.4\.\d+ \(\.bun-version "1\.4"\)/],
    answer: 'hello from Bun 1 after 1m\n',
    layers: 'Bun, dependencies, source',
  },
  {
    app: 'deno-serve',
    said: ['Deno detected (deno.json)', '-----> deno install --frozen'],
    answer: 'hello from Deno 2 after 1m\n',
    layers: 'Deno, dependencies, source, build',
  },
]

test.each(pushed)(
  '$app answers after a push',
  async ({ app, said, answer, layers }) => {
    const push = await pushTree(app)
    for (const words of said) {
      if (typeof words === 'string') expect(push.out).toContain(words)
      else expect(push.out).toMatch(words)
    }
    expect(push.code, push.out).toBe(0)
    expect((await paas.get(app)).body).toBe(answer)
    expect(layersIn(push.out)).toBe(layers)
  },
  600_000,
)

test.each(['node-pnpm', 'node-yarn-1', 'node-yarn-pnp', 'bun-serve'])(
  '%s installed once more makes the same files',
  async (app) => {
    const again = await paas.ssh(['ps:rebuild', app, '--no-cache'])
    expect([again.code, again.out]).toEqual([0, expect.stringContaining('dependencies new')])
    const { stdout } = await paas.ssh(['releases:diff', app, 'v1', 'v2', '--json'])
    const layers: { kind: string; files: unknown[] }[] = JSON.parse(stdout).layers
    expect(layers.find(({ kind }) => kind === 'dependencies')?.files).toEqual([])
    expect(layers.flatMap(({ files }) => files)).toEqual([])
  },
  300_000,
)

test('A single-page app is built by Vite and served as files, config and all', async () => {
  await paas.ssh(['apps:create', 'node-vite'])
  await paas.ssh(['config:set', 'node-vite', 'VITE_WHERE=configured'])
  const push = await pushTree('node-vite')
  expect(push.code, push.out).toBe(0)
  expect(layersIn(push.out)).toBe('Caddy, source, build')
  const page = await paas.get('node-vite', '/any/page')
  expect([page.status, page.body]).toEqual([200, expect.stringContaining('<div id="app">')])
  const script = /src="([^"]+)"/.exec(page.body)?.[1] ?? ''
  expect((await paas.get('node-vite', script)).body).toContain('configured')
}, 600_000)

test('A second push with the same lockfile installs nothing', async () => {
  const push = await pushTree('node-pnpm', { 'notes.txt': 'again' })
  expect(push.out).toContain('dependencies: re-used (pnpm-lock.yaml unchanged)')
  expect(push.out).not.toContain('-----> pnpm install')
  expect(push.out).toMatch(/dependencies re-used, source \w+ new, build new/)
}, 120_000)

async function pushTree(app: string, files: Record<string, string> = {}) {
  const dir = await paas.tree(app, {})
  await cp(join(import.meta.dirname, '../apps', app), dir, { recursive: true })
  return paas.push(app, await paas.tree(app, { 'pushed.txt': app, ...files }))
}

/** The layers above the stack, without versions and what became of them. */
function layersIn(out: string): string | undefined {
  const [, ...names] = /Layers: ([^\n]*)/.exec(out)?.[1]?.split(', ') ?? []
  return names.map((name) => name.split(' ')[0]).join(', ')
}
