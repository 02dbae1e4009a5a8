import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { packagesOf } from './php-extensions.ts'
import type { SuiteCandidate, ToolRequest, VersionText } from './plan.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/** What a PHP tree asks for beside a version. */
export type Asked = { php: string | undefined; extensions: string[]; hasComposer: boolean }

/**
 * What a tree asks of PHP. `require.php` of composer.json is a rule; the first of .php-version and
 * .tool-versions is the wish within it.
 */
export function phpRequest(
  source: Source,
  asked: Asked,
): { tool: ToolRequest; warnings: string[] } {
  const files: [text: string | undefined, from: string][] = [
    [firstLine(source, '.php-version'), '.php-version'],
    [toolVersion(source, ['php']), '.tool-versions'],
  ]
  const { pin, warnings } = firstPin(
    files.map(([text, from]) => (text === undefined ? text : phpVersion(text, from))),
  )
  const from = 'require.php in composer.json'
  return {
    tool: {
      tool: 'php',
      constraint: asked.php === undefined ? undefined : phpVersion(asked.php, from),
      pin,
      choose: asked.hasComposer
        ? '"require": {"php": "^8.4"} in composer.json'
        : '.php-version with a line such as 8.4',
      inImage: true,
      suite: { name: 'PHP', candidates: lines.map((line) => candidate(line, asked)) },
    },
    warnings,
  }
}

/** Newest first: the suite's newest is the default. */
const lines = ['9.0', '8.7', '8.6', '8.5', '8.4', '8.3', '8.2']

function candidate(line: string, { extensions, hasComposer }: Asked): SuiteCandidate {
  const php = `php${line}`
  const own = ['cli', 'fpm', 'opcache', ...packagesOf(extensions)].map((name) => `${php}-${name}`)
  // FPM wants a tmpfiles program; without this one apt would take all of systemd.
  const run = [...own, 'systemd-standalone-tmpfiles']
  return { package: `${php}-fpm`, run, build: [...run, ...(hasComposer ? ['composer'] : [])] }
}

/**
 * The semver range that a Composer constraint means: `^8.2`, `~8.2` (below 9), `8.3.*|8.4.*`,
 * `>=8.1,<8.5`. Throws a Failure that names the file.
 */
export function phpVersion(text: string, from: string): VersionText {
  const words = text.trim()
  const alternatives = words.split(/\s*\|\|?\s*/).map((part) =>
    part
      .split(/\s*,\s*/)
      .map(one)
      .join(' '),
  )
  const range = semver.validRange(alternatives.join(' || '))
  if (words !== '' && range) return { text: printable(words), range, from }
  throw new Failure('failed', `${from} says "${printable(words)}": not a PHP version`, {
    hint: 'Use a version or a range, such as "8.4" or "^8.2"',
  })
}

/** One part in semver's words; `~8.2` lets the last number that is given grow. */
function one(part: string): string {
  const plain = part
    .replace(/^(php-?|v)(?=\d)/i, '')
    .replace(/[@-](dev|stable|RC|beta|alpha)$/i, '')
  const wave = /^~\s*(\d+)\.(\d+)$/.exec(plain)
  if (wave) return `>=${wave[1]}.${wave[2]} <${Number(wave[1]) + 1}`
  return plain.replace(/(^|\s)!=\s*\S+/g, '').replace(/==/g, '')
}
