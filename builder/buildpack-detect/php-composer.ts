import { posix } from 'node:path'
import { items, type Json, member, members, parseJson, text, words } from '../json-document.ts'
import type { Source } from '../source/source.ts'

/** What composer.json and composer.lock say, as far as a build wants it. */
export type Composer = {
  /** `require.php` as written. */
  php: string | undefined
  /** Names without `ext-`, of the tree itself and of all that it locks. */
  extensions: string[]
  /** Names of packages that are required or locked, without those for development. */
  packages: Set<string>
  scripts: Set<string>
  hasAutoload: boolean
  hasLock: boolean
  /** `extra.heroku.document-root` */
  documentRoot: string | undefined
  /** Directories of packages and patches in the tree, with a trailing slash. */
  local: string[]
}

/** Undefined without composer.json. Failure: one of the files is not what Composer writes. */
export function readComposer(source: Source): Composer | undefined {
  const content = source.readText('composer.json')
  if (content === undefined) return undefined
  const json = parseJson('composer.json', content)
  const lockText = source.readText('composer.lock')
  const lock = lockText === undefined ? undefined : parseJson('composer.lock', lockText)
  const locked = member(lock ?? { ...json, value: {} }, 'packages')
  const packages = locked ? items(locked) : []
  const required = [json, ...packages].flatMap((one) => members(member(one, 'require')))
  const names = required.map(([name]) => name.toLowerCase())
  const own = members(member(json, 'require'))
  const php = own.find(([name]) => name === 'php' || name === 'php-64bit')?.[1]
  const root = at(json, ['extra', 'heroku', 'document-root'])
  return {
    php: php && words(php),
    extensions: [...new Set(names.filter((name) => name.startsWith('ext-')))].map((name) =>
      name.slice('ext-'.length),
    ),
    packages: new Set([
      ...own.map(([name]) => name.toLowerCase()).filter((name) => name.includes('/')),
      ...packages.flatMap((one) => member(one, 'name') ?? []).map((name) => text(name)),
    ]),
    scripts: new Set(members(member(json, 'scripts')).map(([name]) => name)),
    hasAutoload: member(json, 'autoload') !== undefined,
    hasLock: lock !== undefined,
    documentRoot: root && words(root),
    local: localDirectories(source, json),
  }
}

function at(json: Json, path: string[]): Json | undefined {
  return path.reduce<Json | undefined>((found, key) => found && member(found, key), json)
}

/** `{"type": "path", "url": "packages/*"}`, by name or in a list; and the patches of a plugin. */
function localDirectories(source: Source, json: Json): string[] {
  const repositories = member(json, 'repositories')
  const listed = Array.isArray(repositories?.value)
    ? items(repositories)
    : members(repositories).map(([, one]) => one)
  const urls = listed
    .filter(({ value }) => typeof value === 'object') // `{"packagist.org": false}`
    .filter((one) => one.value !== null && member(one, 'type')?.value === 'path')
    .flatMap((one) => member(one, 'url') ?? [])
    .map((url) => words(url).replace(/\/?[^/]*[*?[{].*$/, ''))
  const extra = at(json, ['extra', 'patches']) ?? at(json, ['extra', 'patches-file'])
  const inside = [...urls, ...(extra ? ['patches'] : [])]
    .map((path) => posix.normalize(path).replace(/\/$/, ''))
    .filter((path) => path !== '.' && !/^(\.\.|\/)/.test(path) && source.isDirectory(path))
  return [...new Set(inside)].map((path) => `${path}/`)
}
