import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { detect } from '../../builder/buildpack-detect/detect.ts'
import type { Plan } from '../../builder/buildpack-detect/plan.ts'
import { openSource } from '../../builder/source/source.ts'
import { failureLines } from '../../core/errors.ts'

const made: string[] = []

afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true })
})

type Files = Record<string, string | object>

const berryLock = '__metadata:\n  version: 8\n'
const start = { start: 'node server.js' }

const managers: [what: string, files: Files, tool: string | undefined, first: string][] = [
  ['pnpm 7 by its lockfile', { 'pnpm-lock.yaml': 'lockfileVersion: 5.4\n' }, 'pnpm 7.x', 'pnpm'],
  ['pnpm 8 by its lockfile', { 'pnpm-lock.yaml': "lockfileVersion: '6.0'\n" }, 'pnpm 8.x', 'pnpm'],
  ['Yarn 4 by its lockfile', { 'yarn.lock': berryLock }, 'yarn 4.x', 'yarn'],
  ['Yarn 1 by its lockfile', { 'yarn.lock': '# yarn lockfile v1\n' }, 'yarn 1.x', 'yarn'],
  ['npm by its lockfile', { 'package-lock.json': '{}' }, undefined, 'npm'],
  ['npm without a lockfile', {}, undefined, 'npm'],
  [
    'packageManager before a lockfile',
    { 'package.json': { packageManager: 'pnpm@9.15.0', scripts: start }, 'yarn.lock': '' },
    'pnpm 9.15.0',
    'pnpm',
  ],
  [
    'devEngines as packageManager',
    {
      'package.json': {
        devEngines: { packageManager: { name: 'yarn', version: '^4.1.0' } },
        scripts: start,
      },
    },
    'yarn ^4.1.0',
    'yarn',
  ],
  [
    'Volta',
    { 'package.json': { volta: { yarn: '1.22.19' }, scripts: start }, 'yarn.lock': '' },
    'yarn 1.22.19',
    'yarn',
  ],
]

test.each(managers)('The manager: %s', (_what, files, tool, first) => {
  const plan = planOf({ ...files, ...withDependency(files) })
  const manager = plan.tools.find((one) => one.tool !== 'node')
  expect(manager && `${manager.tool} ${manager.pin?.text}`).toBe(tool)
  expect(plan.steps[0]?.title.split(' ')[0]).toBe(first)
})

test('A rule of engines does not lead from Yarn 1 to a later Yarn', () => {
  const packageJson = {
    scripts: start,
    engines: { yarn: '>=1.10 || ^3' },
    dependencies: { a: '1' },
  }
  const plan = planOf({ 'package.json': packageJson, 'yarn.lock': '# yarn lockfile v1\n' })
  expect(plan.tools[1]?.constraint?.range).toBe('>=1.10.0 <2.0.0-0||>=3.0.0 <4.0.0-0 <2.0.0-0')
})

const webs: [what: string, packageJson: object, files: Files, web: string][] = [
  ['a server.js beside Vite', viteWith({}), { 'server.js': '' }, 'node server.js'],
  ['the development server of Vite', viteWith({ start: 'vite --host' }), {}, caddy('spa')],
  [
    'vite preview by another script',
    viteWith({ start: 'yarn see', see: 'vite preview' }),
    {},
    caddy('spa'),
  ],
  ['a start script that is a server', viteWith({ start: 'serve dist' }), {}, 'serve dist'],
  ['a Procfile', viteWith({}), { Procfile: 'web: npx serve' }, 'npx serve'],
  [
    'Nest by its own script',
    {
      dependencies: { '@nestjs/core': '11' },
      scripts: { build: 'nest build', start: 'nest start', 'start:prod': 'node dist/src/main' },
    },
    {},
    'node dist/src/main',
  ],
  [
    'an Angular server',
    { dependencies: { '@angular/core': '20' }, scripts: { build: 'ng build', start: 'ng serve' } },
    {
      'angular.json': {
        projects: {
          shop: {
            architect: {
              build: {
                builder: '@angular/build:application',
                options: { outputMode: 'server', ssr: { entry: 'src/server.ts' } },
              },
            },
          },
        },
      },
    },
    'node dist/shop/server/server.mjs',
  ],
]

test.each(webs)('What answers requests: %s', (_what, packageJson, files, web) => {
  expect(planOf({ 'package.json': packageJson, ...files }).processes.web).toBe(web)
})

const workspace: Files = {
  'package.json': { private: true, workspaces: ['packages/*', 'apps/**', '!packages/old'] },
  'package-lock.json': '{}',
  'paas.toml': 'app_dir = "apps/web"',
  'packages/a/package.json': { name: 'a', scripts: { build: 'x' }, dependencies: { b: '*' } },
  'packages/b/package.json': { name: 'b', scripts: { build: 'x' }, dependencies: { a: '*' } },
  'packages/old/package.json': { name: 'old', dependencies: { x: 'file:../x' } },
  'apps/web/package.json': {
    name: 'web',
    scripts: { build: 'x', ...start },
    dependencies: { b: '*' },
    devDependencies: { typescript: '5' },
  },
}

test('In a workspace the packages that the app needs are built before it', () => {
  const plan = planOf(workspace)
  expect(plan.steps.map(({ title }) => title)).toEqual([
    'npm ci --omit=dev --workspace=apps/web --include-workspace-root',
    'npm ci --include=dev',
    'npm run build in packages/a/, npm run build in packages/b/, npm run build in apps/web/',
  ])
  expect(plan.because).toBe('package.json in apps/web/')
  expect(plan.processes).toEqual({ web: 'cd apps/web && exec node server.js' })
})

test('A change of the source of a workspace installs nothing anew; one that runs at install does', () => {
  expect(installInputsOf(workspace)).toMatchObject({ kind: 'files', why: 'package-lock.json' })
  const prepares = { name: 'b', scripts: { prepare: 'x' } }
  expect(installInputsOf({ ...workspace, 'packages/b/package.json': prepares })).toMatchObject({
    kind: 'tree',
    why: 'scripts.prepare in packages/b/package.json runs at install',
  })
})

test('A folder outside the workspace is an app of its own', () => {
  const plan = planOf({
    ...workspace,
    'paas.toml': 'app_dir = "tools"',
    'tools/package.json': { scripts: start, dependencies: { ms: '2' } },
  })
  expect(plan.steps[0]?.title).toBe('npm install --no-package-lock --omit=dev')
  expect(plan.steps[0]?.argv.slice(3)).toContain('tools')
})

test('A package.json of a workspace that is not JSON is named with its folder', () => {
  const said = failure({ ...workspace, 'packages/a/package.json': '{' })
  expect(said[0]).toMatch(/^ !     packages\/a\/package.json is not valid JSON: /)
})

test('Tokens of Yarn and Bun come by config, and their registry before the one of the host', () => {
  const yarn = planOf({
    'package.json': { scripts: start, dependencies: { ms: '2' } },
    'yarn.lock': berryLock,
    '.yarnrc.yml': 'npmRegistryServer: https://npm.example.com\nnpmAuthToken: "${TOKEN-}"\n',
  })
  expect(yarn.steps[0]).toMatchObject({
    configKeys: ['TOKEN', 'YARN_NPM_AUTH_TOKEN'],
    env: { YARN_NPM_REGISTRY_SERVER: 'https://npm.example.com' },
  })
  const bun = planOf({
    'package.json': { scripts: { start: 'bun a.ts' }, dependencies: { ms: '2' } },
    'bun.lock': '',
    'bunfig.toml': '[install]\nregistry = "https://:$BUN_TOKEN@npm.example.com"\n',
  })
  expect(bun.steps[0]).toMatchObject({ configKeys: ['BUN_TOKEN'] })
})

test('Plug and Play is started by Yarn, and a Procfile that forgets it is told', () => {
  const files = {
    'package.json': { dependencies: { express: '5' }, main: 'app.js' },
    'app.js': '',
    'yarn.lock': berryLock,
  }
  expect(planOf(files).processes).toEqual({ web: 'yarn node app.js' })
  expect(planOf({ ...files, Procfile: 'web: node app.js' }).warnings).toEqual([
    `Yarn's Plug'n'Play packages are found by "yarn node", and not by "node": web`,
  ])
})

test('A Bun lockfile left over does not outdo packageManager', () => {
  const packageJson = { packageManager: 'pnpm@10.0.0', scripts: start }
  const plan = planOf({ 'package.json': packageJson, 'bun.lock': '', 'pnpm-lock.yaml': '' })
  expect([plan.language, ...plan.warnings]).toEqual([
    'Node',
    'pnpm-lock.yaml and bun.lock are both there: pnpm-lock.yaml is used (packageManager in package.json is pnpm)',
  ])
})

test('Bun takes Node along for what is started by Node', () => {
  expect(bunToolsOf({ start: 'bun run server.ts' })).toEqual(['bun'])
  expect(bunToolsOf({ start: 'bun run server.ts', build: 'vite build' })).toEqual([
    'node for builds',
    'bun',
  ])
  expect(bunToolsOf({ start: 'next start' })).toEqual(['node', 'bun'])
})

function installInputsOf(files: Files): unknown {
  return planOf(files).steps[0]?.inputs
}

function bunToolsOf(scripts: object): string[] {
  const plan = planOf({ 'package.json': { scripts }, 'bun.lock': '' })
  return plan.tools.map(({ tool, inImage }) => `${tool}${inImage ? '' : ' for builds'}`)
}

function viteWith(scripts: object): object {
  return { scripts: { build: 'vite build', ...scripts }, devDependencies: { vite: '8' } }
}

function caddy(style: string): string {
  return `caddy run --adapter caddyfile --config /usr/local/etc/static/${style}.caddyfile`
}

/** The same package.json with something to install. */
function withDependency(files: Files): Files {
  const own = files['package.json']
  const packageJson = typeof own === 'object' ? own : { scripts: start }
  return { 'package.json': { ...packageJson, dependencies: { ms: '2.1.3' } } }
}

function planOf(files: Files): Plan {
  const dir = mkdtempSync(join(tmpdir(), 'paas-tree-'))
  made.push(dir)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    writeFileSync(join(dir, path), text)
  }
  return detect(openSource(dir), undefined)
}

function failure(files: Files): string[] {
  try {
    planOf(files)
  } catch (error) {
    return failureLines(error)
  }
  return []
}
