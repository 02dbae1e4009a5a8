import { expect, test } from 'vitest'
import { parseBuildpack } from '../../builder/buildpack-detect/buildpack-address.ts'
import { detect } from '../../builder/buildpack-detect/detect.ts'
import { javaVersion } from '../../builder/buildpack-detect/java-version.ts'
import { parseRelease } from '../../builder/steps/buildpack-release.ts'
import { openSource } from '../../builder/source/source.ts'
import { apps, makeRepo, temporaryConfig } from './support.ts'

test('An address of a buildpack is a repository over https or ssh, or a folder', () => {
  expect(parseBuildpack('heroku/python#v300')).toMatchObject({
    url: 'https://github.com/heroku/heroku-buildpack-python.git',
    ref: 'v300',
  })
  expect(parseBuildpack('https://me:token@example.com/pack')).toMatchObject({
    url: 'https://me:token@example.com/pack',
    ref: 'HEAD',
    shown: 'https://***@example.com/pack',
  })
  expect(parseBuildpack('git@example.com:team/pack.git')).toMatchObject({ kind: 'git' })
  expect(parseBuildpack('./ci/../packs/one/')).toMatchObject({ kind: 'folder', path: 'packs/one' })
})

const refused = [
  'http://example.com/pack.git',
  'git://example.com/pack.git',
  'file:///etc',
  'ext::sh -c id',
  './../other',
  './',
  'someone/else',
  'https://example.com/pack.tgz',
  'https://example.com/pack.git#--upload-pack=x',
  'https://example.com/a b',
  '',
]

test.each(refused)('"%s" is no address of a buildpack', (text) => {
  expect(() => parseBuildpack(text)).toThrow(/no address of a buildpack|has no branch/)
})

test('What bin/release prints becomes processes and environment', () => {
  const text = [
    '---',
    'addons:',
    '  - heroku-postgresql',
    'config_vars:',
    "  LANG: 'en_US.UTF-8'",
    '  PORT: 3000',
    'default_process_types:',
    '  web: "bin/rails server -p \\"$PORT\\""',
    "  rake: bundle exec rake # it's a task",
    '  Not A Type: x',
  ].join('\n')
  expect(parseRelease(text)).toEqual({
    processes: { web: 'bin/rails server -p "$PORT"', rake: 'bundle exec rake' },
    env: { LANG: 'en_US.UTF-8' },
  })
  expect(parseRelease('--- {}\n')).toEqual({ processes: {}, env: {} })
})

test('Buildpacks that the owner has set win over the tree, and builder:set wins over them', () => {
  const source = openSource(`${apps}/node-lockfile`)
  const set = { addresses: ['heroku/nodejs'], from: 'buildpacks:set' }
  expect(detect(source, undefined, set)).toMatchObject({
    language: 'Buildpacks',
    because: 'buildpacks:set',
  })
  expect(detect(source, 'detect', set).language).toBe('Node')
})

test('A language is detected instead of .buildpacks for whoever says so', async () => {
  await using temporary = temporaryConfig()
  const files = { '.buildpacks': 'heroku/python', 'package.json': '{}', 'server.js': '' }
  const { dir, commit } = await makeRepo(temporary.config, 'both')
  await commit(files)
  expect(detect(openSource(dir)).language).toBe('Buildpacks')
  expect(detect(openSource(dir), 'detect')).toMatchObject({
    language: 'Node',
    because: 'package.json',
  })
  await commit({ 'paas.toml': 'builder = "detect"\n' })
  expect(detect(openSource(dir)).language).toBe('Node')
  expect(detect(openSource(dir), 'buildpacks').language).toBe('Buildpacks')
})

const versions: [text: string, range: string][] = [
  ['21', '>=21.0.0 <22.0.0-0'],
  ['1.8', '>=8.0.0 <9.0.0-0'],
  ['openjdk-21.0.2', '21.0.2'],
  ['21.0.2-tem', '21.0.2'],
  ['temurin-17.0.5+8', '17.0.5'],
  ['adoptopenjdk-openj9-11.0.2+9', '11.0.2'],
]

test.each(versions)('The Java version "%s" means %s', (text, range) => {
  expect(javaVersion(text, '.java-version').range).toBe(range)
})
