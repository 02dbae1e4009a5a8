import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { ToolRequest, VersionText } from './plan.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/**
 * What a tree asks of Python. `requires-python` (or Poetry's own `python`) is a rule; the first of
 * .python-version, runtime.txt, .tool-versions and Pipfile is the wish within it.
 */
export function pythonRequest(
  source: Source,
  declared: { requires: VersionText | undefined; pipfile: VersionText | undefined },
): { tool: ToolRequest; warnings: string[] } {
  const files: [text: string | undefined, from: string][] = [
    [firstLine(source, '.python-version'), '.python-version'],
    [firstLine(source, 'runtime.txt'), 'runtime.txt'],
    [toolVersion(source, ['python']), '.tool-versions'],
  ]
  const pins = files.map(([text, from]) => (text === undefined ? text : pythonVersion(text, from)))
  const { pin, warnings } = firstPin([...pins, declared.pipfile])
  return {
    tool: {
      tool: 'python',
      constraint: declared.requires,
      pin,
      choose: '.python-version with a line such as 3.13',
      inImage: true,
      suite: {
        name: 'Python',
        candidates: [
          {
            package: 'python3',
            run: ['python3'],
            build: ['python3', 'python3-dev', 'python3-venv'],
          },
        ],
      },
    },
    warnings,
  }
}

/**
 * The semver range that a Python version or a specifier of PEP 440 means: `3.13`, `python-3.13.5`,
 * `>=3.11,<4`, `~=3.11`, `==3.12.*`. Throws a Failure that names the file.
 */
export function pythonVersion(text: string, from: string): VersionText {
  const words = text.trim()
  const parts = words
    .replace(/^(c?python)-?(?=\d)/i, '')
    .split(',')
    .map((part) => part.trim())
  const range = semver.validRange(parts.map(specifier).filter(Boolean).join(' '))
  if (words !== '' && range) return { text: printable(words), range, from }
  throw new Failure('failed', `${from} says "${printable(words)}": not a Python version`, {
    hint: 'Use a version or a range, such as "3.13" or ">=3.11,<4"',
  })
}

/** One specifier in semver's words. An exclusion is left out: seldom, and only of a patch. */
function specifier(part: string): string {
  const [, operator = '', version = ''] = /^(===?|~=|!=|[<>]=?|\^|~)?\s*(.+)$/.exec(part) ?? []
  if (operator === '!=') return ''
  const numbers = version.replace(/\.\*$/, '.x').replace(/^(\d+(?:\.\d+){0,2})[a-z].*$/, '$1')
  if (operator === '~=') {
    const known = numbers.split('.')
    const below = known.length > 2 ? `${known[0]}.${Number(known[1]) + 1}` : Number(known[0]) + 1
    return `>=${numbers} <${below}`
  }
  return `${operator.replace(/^=+/, '')}${numbers}`
}
