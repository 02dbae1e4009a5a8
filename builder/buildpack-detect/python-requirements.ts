import { posix } from 'node:path'
import type { Source } from '../source/source.ts'

/** What pip's requirement files name. Paths are relative to the root of the tree. */
export type Requirements = {
  /** Names of packages, in lower case with `-`. */
  names: Set<string>
  /** Files and directories (with a trailing slash) that the install reads, the first file first. */
  reads: string[]
  /** The package that lies in the tree as source, if one does: then every file decides. */
  local: string | undefined
  /** Whether whoever installs gets the same: by a hash of each package, or from the tree alone. */
  exact: boolean
  /** Config keys that the files ask for as `${KEY}`. */
  configKeys: string[]
}

/** Reads a requirement file and those that it includes, as far as they are in the tree. */
export function readRequirements(source: Source, file: string): Requirements {
  const found: Requirements = {
    names: new Set(),
    reads: [],
    local: undefined,
    exact: false,
    configKeys: [],
  }
  const lines: string[] = []
  const waiting = [file]
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (found.reads.includes(next) || found.reads.length > 100) continue
    const text = source.readText(next, 1024 * 1024)
    if (text === undefined) continue
    found.reads.push(next)
    found.configKeys.push(...[...text.matchAll(/\$\{([A-Z0-9_]+)\}/g)].map(([, key = '']) => key))
    // A path within a file is relative to that file for -r and -c, to the root for all else.
    for (const line of logicalLines(text)) {
      lines.push(line)
      const included = /^(?:-r|-c|--requirement|--constraint)[\s=]+(\S+)/.exec(line)?.[1]
      if (included) waiting.push(posix.join(posix.dirname(next), included))
      else readLine(source, line, found)
    }
  }
  const packages = lines.filter((line) => !line.startsWith('-'))
  const hasHashes = packages.length > 0 && packages.every((line) => /--hash[=\s]sha256:/.test(line))
  found.exact = hasHashes || lines.includes('--no-index')
  return found
}

function readLine(source: Source, line: string, found: Requirements): void {
  const links = /^(?:-f|--find-links)[\s=]+(\S+)/.exec(line)?.[1]
  if (links !== undefined && source.isDirectory(links)) {
    found.reads.push(`${posix.normalize(links).replace(/\/$/, '')}/`)
    return
  }
  const requirement = line.replace(/^(?:-e|--editable)[\s=]+/, '')
  if (requirement.startsWith('-')) return
  const where = requirement.replace(/^[\w.-]+(\[[^\]]*\])?\s*@\s*/, '').replace(/^file:/, '')
  const place = /^(\.{1,2}(\/[^\s;#[]*)?|[\w.-]*\/[^\s;#[:@]*|[\w.-]+\.whl)/.exec(where)?.[0]
  if (place !== undefined && source.isFile(place)) found.reads.push(posix.normalize(place))
  else if (place !== undefined && source.isDirectory(place)) found.local ??= place
  const name = /^[A-Za-z0-9][A-Za-z0-9._-]*/.exec(requirement)?.[0]
  if (name && place === undefined) found.names.add(packageName(name))
}

/** Names are the same whatever their case and separators are (PEP 503). */
export function packageName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-')
}

function logicalLines(text: string): string[] {
  return text
    .replace(/\\\r?\n/g, ' ')
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter(Boolean)
}
