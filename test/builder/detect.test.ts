import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { detect } from '../../builder/buildpack-detect/detect.ts'
import type { Plan } from '../../builder/buildpack-detect/plan.ts'
import { openSource } from '../../builder/source/source.ts'
import { failureLines } from '../../core/errors.ts'
import { apps, sample } from './support.ts'

const made: string[] = []

afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true })
})

type Expected = {
  language: string
  because: string
  processes: Record<string, string>
  asks: string[]
  steps: string[]
  warnings: string[]
}

const plans: [app: string, expected: Expected][] = [
  [
    'node-lockfile',
    {
      language: 'Node',
      because: 'package.json',
      processes: { web: 'node server.js' },
      asks: ['engines.node in package.json 24.x'],
      steps: ['npm ci --omit=dev'],
      warnings: [],
    },
  ],
  [
    'node-no-lockfile',
    {
      language: 'Node',
      because: 'package.json',
      processes: { web: 'node server.js' },
      asks: [],
      steps: ['npm install --no-package-lock --omit=dev'],
      warnings: ['No package-lock.json: versions of dependencies are chosen anew when they change'],
    },
  ],
  [
    'node-22-nvmrc',
    {
      language: 'Node',
      because: 'package.json',
      processes: { web: 'node server.js', worker: 'node worker.js' },
      asks: ['engines.node in package.json >=20', '.nvmrc v22.11.0'],
      steps: [],
      warnings: [],
    },
  ],
  [
    'node-build-script',
    {
      language: 'Node',
      because: 'package.json',
      processes: { web: 'node dist/server.js' },
      asks: [],
      steps: ['npm ci --omit=dev', 'npm ci --include=dev', 'npm run build'],
      warnings: [],
    },
  ],
  [
    'static-root',
    {
      language: 'Static site',
      because: 'index.html',
      processes: { web: caddy('site') },
      asks: [],
      steps: [],
      warnings: [],
    },
  ],
  [
    'static-public',
    {
      language: 'Static site',
      because: 'public/index.html',
      processes: { web: caddy('site') },
      asks: [],
      steps: [],
      warnings: [],
    },
  ],
  [
    'static-spa',
    {
      language: 'Static site',
      because: 'static.json',
      processes: { web: caddy('spa') },
      asks: [],
      steps: [],
      warnings: ['"https_only" in static.json is not supported and has no effect'],
    },
  ],
]

test.each(plans)('%s is planned as it should be', (app, expected) => {
  expect(summary(detect(openSource(join(apps, app)), undefined))).toEqual(expected)
})

test('The bundled sample needs nothing but Node', () => {
  expect(summary(detect(openSource(sample), undefined))).toMatchObject({
    language: 'Node',
    processes: { web: 'node server.js' },
    steps: [],
    warnings: [],
  })
})

test('A plan survives JSON', () => {
  const plan = detect(openSource(join(apps, 'node-build-script')), undefined)
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
})

const starts: [start: string, command: string][] = [
  ['node server.js', 'node server.js'],
  ['next start -p $PORT', 'next start -p $PORT'],
  ['node a.js && node b.js', 'npm start'],
  ['NODE_ENV=production node a.js', 'npm start'],
  ['cd dist && node a.js', 'npm start'],
  ['echo $npm_package_version', 'npm start'],
]

test.each(starts)('Start script %j runs as %j', (start, command) => {
  const source = tree({ 'package.json': JSON.stringify({ scripts: { start } }) })
  expect(detect(source, undefined).processes).toEqual({ web: command })
})

test('A start script with scripts around it stays with npm', () => {
  const scripts = { prestart: 'node migrate.js', start: 'node server.js' }
  const source = tree({ 'package.json': JSON.stringify({ scripts }) })
  expect(detect(source, undefined).processes).toEqual({ web: 'npm start' })
})

test('Scripts around an install run in the build step, with the whole tree', () => {
  const packageJson = {
    scripts: { start: 'node a.js', postinstall: 'patch-package', prepare: 'husky' },
    dependencies: { ms: '2.1.3' },
    devDependencies: { husky: '9.0.0' },
  }
  const source = tree({ 'package.json': JSON.stringify(packageJson), 'package-lock.json': '{}' })
  const { steps } = detect(source, undefined)
  expect(steps.map((step) => step.title)).toEqual([
    'npm ci --omit=dev',
    'npm ci --include=dev',
    'npm run postinstall, npm run prepare',
  ])
  expect(steps[0]?.inputs).toEqual({
    kind: 'files',
    why: 'package-lock.json',
    copy: ['package-lock.json'],
    write: {
      'package.json': `${JSON.stringify({
        dependencies: packageJson.dependencies,
        devDependencies: packageJson.devDependencies,
      })}\n`,
    },
  })
})

test('Packages that lie in the tree make the whole tree an input', () => {
  const packageJson = { scripts: { start: 'a' }, dependencies: { lib: 'file:./lib' } }
  const source = tree({ 'package.json': JSON.stringify(packageJson), 'package-lock.json': '{}' })
  expect(detect(source, undefined).steps[0]?.inputs).toMatchObject({
    kind: 'tree',
    why: 'lib in package.json lies in the repository',
  })
})

test('Config that .npmrc names reaches the install, and keeps its layer to the app', () => {
  const source = tree({
    'package.json': JSON.stringify({ scripts: { start: 'a' }, dependencies: { ms: '2' } }),
    '.npmrc': '@mine:registry=https://npm.example.com\n//npm.example.com/:_authToken=${NPM_TOKEN}',
  })
  const [step] = detect(source, undefined).steps
  expect(step).toMatchObject({ configKeys: ['NPM_TOKEN'], shareable: false })
})

test('A layer is shared when every hash is known; made from a cache that scripts saw, never', () => {
  const hash = { version: '2.0.0', integrity: 'sha512-x' }
  expect(installOf(hash)).toMatchObject({ shareable: true })
  expect(installOf(hash)?.argv).toContain('--ignore-scripts')
  const scripts = installOf({ ...hash, hasInstallScript: true })
  expect(scripts).toMatchObject({ shareable: true })
  expect(scripts?.checksCache).toBeUndefined()
  expect(scripts?.argv).not.toContain('--ignore-scripts')
  expect(installOf({ version: '2.0.0' })).toMatchObject({ shareable: false })
})

const bad: [what: string, files: Record<string, string>, said: string[]][] = [
  [
    'package.json that is not JSON',
    { 'package.json': '{\n  "name": "x",\n}' },
    [
      'package.json is not valid JSON: Expected double-quoted property name in JSON at position 17 (line 3 column 1)',
      'Mend package.json, commit and push again',
    ],
  ],
  [
    'package.json that holds a list',
    { 'package.json': '[]' },
    ['package.json holds a list: expected an object', 'Write at least {} in package.json'],
  ],
  [
    'a script that is a number',
    { 'package.json': '{"scripts": {"start": 1}}' },
    ['scripts.start in package.json is a number: expected a string'],
  ],
  [
    'package.json in another encoding',
    { 'package.json': '\u00ff\u00fe{' },
    ['package.json is not UTF-8 text', 'Save package.json as UTF-8 and push again'],
  ],
  [
    'engines that mean nothing',
    { 'package.json': '{"engines": {"node": "banana"}, "scripts": {"start": "a"}}' },
    [
      'engines.node in package.json says "banana": not a Node version',
      'Use a version or a range, such as "24.x" or "lts/*"',
    ],
  ],
  [
    'an .nvmrc with nothing in it',
    { 'package.json': '{"scripts": {"start": "a"}}', '.nvmrc': '\n' },
    ['.nvmrc says "": not a Node version', 'Use a version or a range, such as "24.x" or "lts/*"'],
  ],
  [
    'nothing to start',
    { 'package.json': '{}', 'lib.js': '' },
    [
      'Node detected, but nothing says how to start it',
      'Add a "start" script to package.json, or a Procfile with: web: node server.js',
    ],
  ],
  [
    'a package manager that is none',
    { 'package.json': '{"packageManager": "cargo@1", "scripts": {"start": "a"}}' },
    [
      'packageManager in package.json says "cargo@1": not a package manager',
      'Use npm, pnpm, yarn or bun with a version, such as "pnpm@10.34.9"',
    ],
  ],
  [
    'a static root that is not there',
    { 'static.json': '{"root": "../../etc"}' },
    [
      'Static site: there is no directory "etc" (root in static.json)',
      'Put index.html at the top of the repository or in public/, or name its directory as root in static.json',
    ],
  ],
]

test.each(bad)('The failure says what is wrong with %s', (_what, files, said) => {
  expect(failure(() => detect(tree(files), undefined))).toEqual(
    said.map((line) => ` !     ${line}`),
  )
})

test('A language that comes first in the order is built, whatever else is there', () => {
  const source = tree({ 'go.mod': 'module x', 'main.go': 'package main', 'package.json': '{}' })
  expect(detect(source, undefined)).toMatchObject({ language: 'Go', because: 'go.mod' })
})

test('A language that comes first and cannot be built is an error, not another language', () => {
  const source = tree({ 'go.mod': 'module x', 'package.json': '{}' })
  expect(failure(() => detect(source, undefined))[0]).toBe(
    ' !     Go detected, but there is no program in the module',
  )
})

test('BUILDER chooses a language all the same', () => {
  const source = tree({
    'requirements.txt': 'mkdocs',
    'package.json': '{"scripts": {"start": "a"}}',
  })
  expect(detect(source, 'node')).toMatchObject({ because: 'package.json, builder node' })
  expect(failure(() => detect(source, 'cobol'))[0]).toMatch(
    /^ !     The builder is "cobol": expected one of detect, .*python, .*node, static/,
  )
})

test('Nothing detected: the files seen, what is looked for, and the folder it may be in', () => {
  const [said, folder, advice, other, seen, ...looked] = failure(() =>
    detect(openSource(join(apps, 'nested')), undefined),
  )
  expect([said, folder, advice, other, seen]).toEqual([
    ' !     Could not tell how to build this app',
    ' !     web/package.json, one folder down, looks like Node',
    ' !     Name its folder in paas.toml at the top of the repository: app_dir = "web"',
    ' !     Or without a change of the code: git:set <app> app-dir web',
    '       Files seen: README.md  web/',
  ])
  expect(looked).toContain('       Node: package.json')
  expect(looked.filter((line) => !/^ {7}\S.*: \S/.test(line))).toEqual([])
})

const advice = (files: Record<string, string>) =>
  failure(() => detect(tree(files), undefined))
    .filter((line) => line.startsWith(' !'))
    .slice(1)

test('Nothing at the top: all folders are named that may be meant, a Dockerfile too', () => {
  expect(
    advice({
      'a b/go.mod': '',
      'node_modules/x/package.json': '',
      'api/Dockerfile': '',
      'web/index.html': '',
    }),
  ).toEqual([
    ' !     api/Dockerfile, one folder down, looks like something to build with it',
    ' !     web/index.html, one folder down, looks like Static site',
    ' !     Name the one to build in paas.toml at the top of the repository: app_dir = "api"',
    ' !     Or without a change of the code: git:set <app> app-dir api',
  ])
  expect(advice({ 'services/shop/go.mod': '' })[0]).toBe(
    ' !     services/shop/go.mod, two folders down, looks like Go',
  )
  expect(advice({ 'a/b/c/go.mod': '' })).toEqual([
    ' !     Add one of the files below to the top of the repository, and push again',
  ])
})

const links: [target: string, what: string][] = [
  ['/etc/passwd', 'a host file'],
  ['/nonexistent/file', 'nothing outside'],
  ['../../../../etc/passwd', 'a host file by a relative path'],
  ['Procfile', 'itself'],
]

test.each(links)('A Procfile that links to %s (%s) is refused and not read', (target) => {
  const source = tree({ 'package.json': '{}' }, { Procfile: target })
  expect(failure(() => detect(source, undefined))).toEqual([
    ' !     Procfile is a symbolic link that leads out of the repository',
    ' !     Commit Procfile as a file',
  ])
})

test('A link that stays in the tree is followed', () => {
  const files = { 'package.json': '{}', 'deploy/Procfile': 'web: a' }
  const source = tree(files, { Procfile: 'deploy/Procfile' })
  expect(detect(source, undefined).processes).toEqual({ web: 'a' })
})

test('A Procfile that is a directory is named as one', () => {
  const source = tree({ 'package.json': '{}', 'Procfile/x': '' })
  expect(failure(() => detect(source, undefined))[0]).toBe(
    ' !     Procfile is a directory: expected a text file',
  )
})

function caddy(style: string): string {
  return `caddy run --adapter caddyfile --config /usr/local/etc/static/${style}.caddyfile`
}

function summary(plan: Plan): Expected {
  const { language, because, processes, warnings } = plan
  const asked = plan.tools
    .flatMap(({ constraint, pin }) => [constraint, pin])
    .filter((text) => text !== undefined)
  return {
    language,
    because,
    processes,
    asks: asked.map((text) => `${text.from} ${text.text}`),
    steps: plan.steps.map((step) => step.title),
    warnings,
  }
}

/** Text is written byte for byte, so that a test can write what is not UTF-8. */
function tree(files: Record<string, string>, symlinks: Record<string, string> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'paas-tree-'))
  made.push(dir)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text, 'latin1')
  }
  for (const [path, target] of Object.entries(symlinks)) symlinkSync(target, join(dir, path))
  return openSource(dir)
}

function failure(act: () => unknown): string[] {
  try {
    act()
  } catch (error) {
    return failureLines(error)
  }
  return []
}

/** The install step of a tree whose lockfile has this one entry. */
function installOf(entry: object) {
  const lock = { lockfileVersion: 3, packages: { '': {}, 'node_modules/ms': entry } }
  const source = tree({
    'package.json': JSON.stringify({ scripts: { start: 'a' }, dependencies: { ms: '2' } }),
    'package-lock.json': JSON.stringify(lock, null, 2),
  })
  return detect(source, undefined).steps[0]
}
