import type { Source } from '../source/source.ts'
import { member, members, parseJson } from '../json-document.ts'
import { isTable, readToml, table } from './toml.ts'

/**
 * The package of a lockfile that lies in the tree as source, if one does: then every file decides.
 * The tree itself is none where it is not installed.
 */
export function localIn(source: Source, lockfile: string): string | undefined {
  if (lockfile === 'Pipfile') return placeIn(table(readToml(source, lockfile), 'packages'))
  const text = source.readText(lockfile) ?? ''
  if (lockfile !== 'Pipfile.lock') return tables[lockfile]?.exec(text)?.[1]
  const packages = members(member(parseJson(lockfile, text), 'default'))
  return placeIn(Object.fromEntries(packages.map(([name, { value }]) => [name, value])))
}

/** The managers write them, always alike; to parse a megabyte of TOML would take longer. */
const tables: Record<string, RegExp> = {
  'uv.lock': /^source = \{ (?:editable|directory|virtual|path) = "(?!\.")([^"]+)"/m,
  'poetry.lock': /^\[package\.source\]\r?\ntype = "(?:directory|file)"\r?\nurl = "([^"]+)"/m,
}

/** `{"path": "./lib", "editable": true}`, or a `file` that is no address of the web. */
function placeIn(packages: Record<string, unknown>): string | undefined {
  const places = Object.values(packages).map((one) => (isTable(one) ? (one.path ?? one.file) : ''))
  return places.find((place): place is string => {
    return typeof place === 'string' && place !== '' && !/^[a-z]+:\/\//i.test(place)
  })
}
