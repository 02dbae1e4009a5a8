import { posix } from 'node:path'
import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { parseBaseName } from '../image/own-name.ts'
import { isProcessType, parseConfigKey, printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { VersionText } from './plan.ts'
import { isTable, readToml } from './toml.ts'

/** What a tree asks of paas itself, in paas.toml at its root. The README has it key by key. */
export type Wishes = {
  builder: string | undefined
  /** The name of an image that takes the place of the stack. */
  base: string | undefined
  /** Debian packages, in a layer of their own. */
  apt: string[]
  /** The folder of the app, without slashes at its ends; empty for the root. */
  appDir: string
  /** What a push must change to be deployed: files, folders, globs; empty when all counts. */
  paths: string[]
  /** Takes the place of the language's own build steps. */
  buildCommand: string | undefined
  /** Takes the place of a Procfile. */
  processes: Record<string, string> | undefined
  env: Record<string, string>
  /** By tool: `python`, `node`. */
  versions: Record<string, VersionText>
  docker: DockerWishes
}

/** How a Dockerfile is built; the paths are those of the repository. */
export type DockerWishes = {
  file: string | undefined
  context: string | undefined
  target: string | undefined
  args: Record<string, string>
  /** Keys of the app's config. */
  configArgs: string[]
  secrets: string[]
}

/** Reads paas.toml. Throws a Failure that names the line of a key that is unknown or wrong. */
export function readWishes(source: Source): Wishes {
  const document = readToml(source, file)
  const at = { content: source.readText(file) ?? '' }
  const known = [
    'app_dir',
    'apt',
    'base',
    'build',
    'builder',
    'docker',
    'env',
    'paths',
    'processes',
    'versions',
  ]
  refuseOthers(at, Object.keys(document), known)
  const build = section(at, document.build, 'build')
  refuseOthers(at, Object.keys(build), ['command'], 'build.')
  const processes = strings(at, document.processes, 'processes')
  const env = strings(at, document.env, 'env')
  const type = Object.keys(processes).find((one) => !isProcessType(one))
  if (type !== undefined) throw wrong(at, type, 'is not a process type: use a-z, 0-9 and "-"')
  for (const key of Object.keys(env)) parseConfigKey(key)
  return {
    builder: word(at, document.builder, 'builder'),
    base: image(at, document.base),
    apt: packages(at, document.apt),
    appDir: folder(at, word(at, document.app_dir, 'app_dir'), 'app_dir'),
    paths: paths(at, document.paths),
    buildCommand: word(at, build.command, 'command'),
    processes: document.processes === undefined ? undefined : processes,
    env,
    versions: Object.fromEntries(
      Object.entries(strings(at, document.versions, 'versions')).map(([tool, text]) => [
        tool,
        version(at, tool, text),
      ]),
    ),
    docker: dockerWishes(at, section(at, document.docker, 'docker')),
  }
}

function dockerWishes(at: At, docker: Record<string, unknown>): DockerWishes {
  const known = ['args', 'config_args', 'context', 'file', 'secrets', 'target']
  refuseOthers(at, Object.keys(docker), known, 'docker.')
  const place = (key: 'file' | 'context') => {
    const text = word(at, docker[key], key)
    return text === undefined ? undefined : folder(at, text, key) || '.'
  }
  const target = word(at, docker.target, 'target')
  if (target !== undefined && !/^[\w.-]{1,128}$/.test(target)) {
    throw wrong(at, 'target', 'is not the name of a stage')
  }
  const args = strings(at, docker.args, 'args')
  for (const key of Object.keys(args)) parseConfigKey(key)
  return {
    file: place('file'),
    context: place('context'),
    target,
    args,
    configArgs: configKeys(at, docker.config_args, 'config_args'),
    secrets: configKeys(at, docker.secrets, 'secrets'),
  }
}

function configKeys(at: At, value: unknown, key: string): string[] {
  if (value === undefined) return []
  const names = Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
  if (!Array.isArray(value) || names.length !== value.length || names.length > 100) {
    throw wrong(at, key, 'is not a list of at most 100 keys of the config: ["NPM_TOKEN"]')
  }
  return names.map(parseConfigKey)
}

const file = 'paas.toml'

type At = { content: string }

function refuseOthers(at: At, keys: string[], known: string[], prefix = ''): void {
  const other = keys.find((key) => !known.includes(key))
  if (other === undefined) return
  const list = known.map((key) => prefix + key).join(', ')
  throw wrong(at, other, `is not known: expected one of ${list}`)
}

function section(at: At, value: unknown, key: string): Record<string, unknown> {
  if (value === undefined) return {}
  if (isTable(value)) return value
  throw wrong(at, key, `is no section: write [${key}] above its keys`)
}

function strings(at: At, value: unknown, key: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, entry] of Object.entries(section(at, value, key))) {
    const words = word(at, entry, name)
    if (words !== undefined) found[name] = words
  }
  return found
}

function word(at: At, value: unknown, key: string): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && value.trim() !== '' && !value.includes('\0')) return value
  throw wrong(at, key, 'is not text, or is empty')
}

/** Checked as far as a name can be. */
function image(at: At, value: unknown): string | undefined {
  const name = word(at, value, 'base')
  try {
    return name === undefined ? undefined : parseBaseName(name)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw wrong(at, 'base', `is no name of an image: ${error.message}`)
  }
}

function packages(at: At, value: unknown): string[] {
  if (value === undefined) return []
  const names = Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
  const most = 100
  if (!Array.isArray(value) || names.length !== value.length || names.length > most) {
    throw wrong(at, 'apt', `is not a list of at most ${most} Debian packages: ["libpq-dev"]`)
  }
  const bad = names.find((name) => !/^[a-z0-9][a-z0-9+.-]{1,127}$/.test(name))
  if (bad === undefined) return names
  throw wrong(at, 'apt', `has "${printable(bad)}", which is not the name of a Debian package`)
}

function paths(at: At, value: unknown): string[] {
  if (value === undefined) return []
  const list = Array.isArray(value) ? value.filter(isPathPattern) : []
  if (Array.isArray(value) && list.length === value.length && list.length <= pathsMost) return list
  throw wrong(at, 'paths', `is not a list of at most ${pathsMost} paths: ["web/", "*.json"]`)
}

export const pathsMost = 100

/** A path of the repository, maybe with `*`, or with `!` before it; nothing that leads out. */
export function isPathPattern(value: unknown): value is string {
  if (typeof value !== 'string' || value.length > 300 || /[\x00-\x1f\x7f]/.test(value)) return false
  return /[^!./]/.test(value) && !value.split('/').includes('..')
}

function folder(at: At, value: string | undefined, key: string): string {
  const path = parseFolder(value ?? '')
  if (path !== undefined) return path
  throw wrong(at, key, 'is not a path within the repository, such as "web"')
}

/** A folder of the repository without slashes at its ends, or undefined for what is none. */
export function parseFolder(text: string): string | undefined {
  const path = posix.normalize(text).replace(/^\.?\/|\/$/g, '')
  if (path === '.' || path === '') return ''
  const isPlain = /^[\w.@+-]+(\/[\w.@+-]+)*$/.test(path) && !path.split('/').includes('..')
  return isPlain ? path : undefined
}

function version(at: At, tool: string, text: string): VersionText {
  const range = semver.validRange(text.trim().replace(/^v/, ''))
  if (range) return { text: printable(text), range, from: `versions.${tool} in ${file}` }
  throw wrong(at, tool, `is "${printable(text)}": expected a version such as "3.13" or ">=3.12"`)
}

function wrong({ content }: At, key: string, what: string): Failure {
  const begins = (line: string) =>
    line
      .trim()
      .replace(/^\[+|"/g, '')
      .startsWith(key) && /^[\s[]*"?[\w-]/.test(line)
  const number = content.split('\n').findIndex(begins) + 1
  const line = number > 0 ? ` line ${number}` : ''
  return new Failure('failed', `${file}${line}: "${printable(key)}" ${what}`, {
    hint: `Mend ${file}, commit and push again`,
  })
}
