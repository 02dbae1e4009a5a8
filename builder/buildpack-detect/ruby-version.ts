import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { SuiteCandidate, ToolRequest, VersionText } from './plan.ts'
import type { Gems } from './ruby-gems.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/**
 * What a tree asks of Ruby. `ruby` in the Gemfile is a rule, for Bundler holds it too; the first of
 * .ruby-version and .tool-versions is the wish within it, and means its line: tools write the patch
 * release that happens to be on their machine there.
 */
export function rubyRequest(
  source: Source,
  { file, text }: Gems,
): { tool: ToolRequest; warnings: string[] } {
  const { pin, warnings } = firstPin([
    pinOf(firstLine(source, '.ruby-version'), '.ruby-version'),
    pinOf(toolVersion(source, ['ruby']), '.tool-versions'),
  ])
  const rule = ruleOf(source, text, file ?? 'Gemfile')
  const patch = !rule && pin && /^\D*(\d+\.\d+)\.\d+/.exec(pin.text)?.[1]
  return {
    tool: {
      tool: 'ruby',
      constraint: rule,
      pin,
      choose: `ruby "~> 3.3.0" in ${file ?? 'Gemfile'}, or .ruby-version`,
      inImage: true,
      suite: { name: 'Ruby', candidates: lines.map(candidate) },
    },
    warnings: [
      ...warnings,
      ...(pin && patch
        ? [`${pin.from} says "${pin.text}": the newest ${patch} of Debian is used`]
        : []),
    ],
  }
}

/** Newest first: the suite's newest is the default. */
const lines = ['4.1', '4.0', '3.5', '3.4', '3.3', '3.2', '3.1']

function candidate(line: string): SuiteCandidate {
  const run = [`ruby${line}`, 'ruby', 'bundler']
  return { package: `ruby${line}`, run, build: [...run, `ruby${line}-dev`, 'ruby-dev'] }
}

/** `ruby "~> 3.3"`, `ruby ">= 3.1", "< 3.4"`, `ruby file: ".ruby-version"`. */
function ruleOf(source: Source, text: string, gemfile: string): VersionText | undefined {
  const written = /^\s*ruby[\s(]+([^#\n]+?)\)?\s*$/m.exec(text)?.[1]
  if (written === undefined) return undefined
  const other = /^file:\s*['"]([^'"]+)['"]/.exec(written)?.[1]
  if (other !== undefined) return exact(firstLine(source, other), other)
  const parts = written.split(/,\s*(?=['"])/).map((part) => /^['"]([^'"]*)['"]/.exec(part)?.[1])
  const words = parts.filter((part) => part !== undefined)
  if (words.length === 0) return undefined // something only Ruby can work out
  const range = semver.validRange(words.map(requirement).join(' '))
  if (range) return { text: printable(words.join(', ')), range, from: `ruby in ${gemfile}` }
  throw noVersion(words.join(', '), `ruby in ${gemfile}`)
}

/** `~> 3.3` allows 3.4, `~> 3.3.1` does not; no operator means exactly that. */
function requirement(part: string): string {
  const [, operator = '=', version = ''] = /^\s*(~>|!=|[<>]=?|=)?\s*(.*)$/.exec(part) ?? []
  if (operator === '!=') return ''
  if (operator !== '~>') return `${operator === '=' ? '' : operator}${plain(version)}`
  const numbers = plain(version).split('.').map(Number)
  const above = numbers.slice(0, Math.max(1, numbers.length - 1))
  const next = above.map((number, index) => (index === above.length - 1 ? number + 1 : number))
  return `>=${plain(version)} <${next.join('.')}`
}

function exact(text: string | undefined, from: string): VersionText | undefined {
  if (text === undefined) return undefined
  const range = semver.validRange(plain(text))
  if (range) return { text: printable(text), range, from }
  throw noVersion(text, from)
}

function pinOf(text: string | undefined, from: string): VersionText | undefined {
  if (text === undefined || text === 'system') return undefined
  const line = /^(\d+\.\d+)(\.\d+.*)?$/.exec(plain(text))?.[1]
  if (line !== undefined) {
    const range = semver.validRange(line) ?? line
    return { text: printable(text), range, from }
  }
  return exact(text, from)
}

/** `ruby-3.3.5`, `3.3.5p100` */
function plain(version: string): string {
  return version
    .trim()
    .replace(/^ruby-/, '')
    .replace(/(\d)-?p\d+$/, '$1')
}

function noVersion(text: string, from: string): Failure {
  return new Failure('failed', `${from} says "${printable(text)}": not a Ruby version`, {
    hint: 'Use a version or a range, such as "3.3" or "~> 3.3"; other Rubies than MRI are not here',
  })
}
