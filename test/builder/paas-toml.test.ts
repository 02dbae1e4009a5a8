import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { detect } from '../../builder/buildpack-detect/detect.ts'
import { readWishes } from '../../builder/buildpack-detect/paas-toml.ts'
import { openSource } from '../../builder/source/source.ts'
import { failureLines } from '../../core/errors.ts'

const made: string[] = []

afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true })
})

const packageJson = JSON.stringify({
  scripts: { build: 'node build.js', start: 'node server.js' },
  dependencies: { ms: '2.1.3' },
})

test('Every key of paas.toml has its say in the plan', () => {
  const toml = [
    'builder = "node"',
    'apt = ["imagemagick", "libvips42"]',
    '[build]',
    'command = "make"',
    '[processes]',
    'web = "node other.js"',
    '[env]',
    'MODE = "fast"',
    '[versions]',
    'node = "22"',
  ].join('\n')
  const source = tree({ 'paas.toml': toml, 'package.json': packageJson, 'requirements.txt': 'x' })
  const plan = detect(source, undefined)
  expect(plan).toMatchObject({
    because: 'package.json, builder node',
    userApt: ['imagemagick', 'libvips42'],
    processes: { web: 'node other.js' },
    processesFrom: 'paas.toml',
    env: { MODE: 'fast' },
    tools: [
      {
        pin: { text: '22', from: 'versions.node in paas.toml' },
        constraint: undefined,
        choose: expect.stringContaining('another versions.node in paas.toml'),
      },
    ],
  })
  expect(plan.steps.map(({ title }) => title)).toEqual([
    'npm install --no-package-lock --omit=dev',
    'make',
  ])
})

test('What the owner says wins over the builder of paas.toml', () => {
  const source = tree({ 'paas.toml': 'builder = "static"', 'package.json': packageJson })
  expect(detect(source, 'node').language).toBe('Node')
})

test('An app in a folder is found, built, started and looked for there', () => {
  const files = { 'paas.toml': 'app_dir = "./web/"', 'web/package.json': packageJson }
  const source = tree({ ...files, 'web/package-lock.json': '{}', 'requirements.txt': 'x' })
  const plan = detect(source, undefined)
  expect(plan).toMatchObject({
    because: 'package.json in web/',
    processes: { web: 'cd web && exec node server.js' },
    env: { PATH: expect.stringMatching(/^\/app\/web\/node_modules\/\.bin:/) },
  })
  expect(plan.steps[0]).toMatchObject({
    argv: ['sh', '-c', 'cd -- "$0" && exec "$@"', 'web', 'npm', 'ci', '--omit=dev'],
    inputs: { copy: ['web/package-lock.json'], write: { 'web/package.json': expect.anything() } },
    drop: ['web/node_modules/.cache'],
  })
})

test('What starts an app in a folder, by paas.toml at the top, spares the search for its jar', () => {
  const apps = { 'pom.xml': '<project>', 'project.clj': '(defproject a "1")' }
  for (const [file, text] of Object.entries(apps)) {
    const built = (toml: string) => {
      const source = tree({ 'paas.toml': `app_dir = "api"\n${toml}`, [`api/${file}`]: text })
      return detect(source, undefined).steps[0]?.argv.join(' ')
    }
    expect(built('')).toContain('Main-Class')
    expect(built('[processes]\nweb = "java -jar target/a.jar"')).not.toContain('Main-Class')
  }
})

const bad: [toml: string, said: string][] = [
  [
    'apt = []\nports = [80]',
    'paas.toml line 2: "ports" is not known: expected one of app_dir, apt, base, build, builder, docker, env, paths, processes, versions',
  ],
  ['[build]\nrun = "make"', 'paas.toml line 2: "run" is not known: expected one of build.command'],
  [
    'apt = "curl"',
    'paas.toml line 1: "apt" is not a list of at most 100 Debian packages: ["libpq-dev"]',
  ],
  ['apt = ["-o"]', 'paas.toml line 1: "apt" has "-o", which is not the name of a Debian package'],
  [
    'app_dir = "../up"',
    'paas.toml line 1: "app_dir" is not a path within the repository, such as "web"',
  ],
  ['[processes]\nWeb = "a"', 'paas.toml line 2: "Web" is not a process type: use a-z, 0-9 and "-"'],
  ['[env]\nPORT = "1"', 'PORT is set by paas itself and cannot be changed'],
  [
    '[versions]\nnode = "new"',
    'paas.toml line 2: "node" is "new": expected a version such as "3.13" or ">=3.12"',
  ],
  ['builder = ""', 'paas.toml line 1: "builder" is not text, or is empty'],
]

test.each(bad)('%j is refused by line and key', (toml, said) => {
  expect(failure(() => readWishes(tree({ 'paas.toml': toml })))[0]).toBe(` !     ${said}`)
})

test('TOML that is none is refused by its line', () => {
  const said = failure(() => readWishes(tree({ 'paas.toml': 'apt = [\n"a"\nb' })))
  expect(said[0]).toMatch(/^ !     paas\.toml is not valid TOML \(line 3\): /)
})

test('A version of a tool that the app does not use is refused', () => {
  const files = { 'paas.toml': '[versions]\nruby = "3"', 'package.json': packageJson }
  expect(failure(() => detect(tree(files), undefined))).toEqual([
    ' !     versions.ruby in paas.toml: this app does not use ruby',
    ' !     It uses: node',
  ])
})

function tree(files: Record<string, string>) {
  const dir = mkdtempSync(join(tmpdir(), 'paas-toml-'))
  made.push(dir)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
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
