import { posix } from 'node:path'
import type { Source } from '../source/source.ts'

/** What a tree's Gemfile and lockfile say, read as text: nothing of them is run. */
export type Gems = {
  /** `Gemfile` or `gems.rb`; undefined without. */
  file: string | undefined
  lockfile: string | undefined
  text: string
  /** Names of all that is locked; without a lockfile of all that is asked for. */
  names: Set<string>
  /** Directories in the tree that gems lie in, with a trailing slash; `/` for the tree itself. */
  local: string[]
  /** Hosts that gems come from, but for the public ones. */
  hosts: string[]
  warnings: string[]
}

export function readGems(source: Source): Gems {
  const file = ['Gemfile', 'gems.rb'].find((name) => source.isFile(name))
  const locks = file === 'gems.rb' ? ['gems.locked'] : ['Gemfile.lock']
  const lockfile = locks.find((name) => file !== undefined && source.isFile(name))
  const text = withoutComments((file && source.readText(file, 1024 * 1024)) ?? '')
  const lock = (lockfile && source.readText(lockfile)) ?? ''
  const asked = [...text.matchAll(/^\s*gem\s*\(?\s*['"]([\w.-]+)['"]/gm)].map(
    ([, name = '']) => name,
  )
  const locked = [...lock.matchAll(/^ {4}([\w.-]+) \(/gm)].map(([, name = '']) => name)
  return {
    file,
    lockfile,
    text,
    names: new Set(lockfile === undefined ? asked : locked),
    local: localGems(text, lock),
    hosts: hostsOf(`${text}\n${lock}`),
    warnings: warningsOf(source, file, lockfile),
  }
}

function withoutComments(text: string): string {
  return text.replace(/^\s*#.*$/gm, '')
}

/** `PATH` in a lockfile, `path:` and `gemspec` in a Gemfile. */
function localGems(text: string, lock: string): string[] {
  const remotes = [...lock.matchAll(/^PATH\n {2}remote: (.+)$/gm)].map(([, path = '']) => path)
  const written = [...text.matchAll(/\bpath(?::|\s*=>)\s*['"]([^'"]+)['"]/g)]
  const paths = [...remotes, ...written.map(([, path = '']) => path)]
  if (/^\s*gemspec\b/m.test(text)) paths.push('.')
  const normal = paths.map((path) => posix.normalize(`${path}/`).replace(/^\.\//, ''))
  return [...new Set(normal.map((path) => (path === '' ? '/' : path)))]
}

function hostsOf(text: string): string[] {
  const sources = text.matchAll(
    /(?:remote:\s*|source\s*\(?\s*['"])https:\/\/(?:[^/@\s]*@)?([\w.-]+)/g,
  )
  const hosts = [...sources].map(([, host = '']) => host.toLowerCase())
  return [...new Set(hosts)].filter((host) => !/^(rubygems\.org|github\.com)$/.test(host))
}

function warningsOf(source: Source, file?: string, lockfile?: string): string[] {
  if (file === undefined) return []
  const both = file === 'Gemfile' && source.isFile('gems.rb')
  return [
    ...(both ? ['Gemfile and gems.rb are both there: Gemfile is used'] : []),
    ...(lockfile === undefined
      ? [`No lockfile: versions of gems are chosen anew when ${file} changes`]
      : []),
  ]
}
