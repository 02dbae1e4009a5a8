import { expect, test } from 'vitest'
import semver from 'semver'
import { goRequest } from '../../builder/buildpack-detect/go-version.ts'
import { phpVersion } from '../../builder/buildpack-detect/php-version.ts'
import { readGems } from '../../builder/buildpack-detect/ruby-gems.ts'
import { rubyRequest } from '../../builder/buildpack-detect/ruby-version.ts'
import type { Source } from '../../builder/source/source.ts'

const composer: [text: string, fits: string[], not: string[]][] = [
  ['^8.2', ['8.2.0', '8.4.27'], ['8.1.9', '9.0.0']],
  ['~8.2', ['8.2.0', '8.4.27'], ['9.0.0']],
  ['~8.2.1', ['8.2.5'], ['8.2.0', '8.3.0']],
  ['8.3.*|8.4.*', ['8.3.1', '8.4.27'], ['8.2.0']],
  ['>=8.1,<8.4', ['8.3.9'], ['8.4.0']],
  ['^7.4 || ^8.0', ['7.4.1', '8.4.27'], ['7.3.0']],
  ['>= 8.1 != 8.2.0', ['8.4.27'], ['8.0.0']],
  ['8.1 - 8.4', ['8.4.27'], ['8.5.0']],
  ['*', ['8.4.27'], []],
]

test.each(composer)('A PHP of %j is what Composer means by it', (text, fits, not) => {
  expectRange(phpVersion(text, 'composer.json').range, fits, not)
})

const bundler: [line: string, fits: string[], not: string[]][] = [
  ['ruby "3.3.13"', ['3.3.13'], ['3.3.12']],
  ["ruby '~> 3.3'", ['3.3.13', '3.4.0'], ['3.2.0', '4.0.0']],
  ['ruby "~> 3.3.0"', ['3.3.13'], ['3.4.0']],
  ['ruby(">= 3.1", "< 3.4")', ['3.3.13'], ['3.4.0', '3.0.0']],
  ['ruby "3.3.13", engine: "ruby"', ['3.3.13'], ['3.3.12']],
]

test.each(bundler)('%s in a Gemfile is what Bundler means by it', (line, fits, not) => {
  const { tool } = rubyOf({ Gemfile: `source "https://rubygems.org"\n${line}\n` })
  expectRange(tool.constraint?.range, fits, not)
})

test('A patch release in .ruby-version means its line, and that is said', () => {
  const { tool, warnings } = rubyOf({ Gemfile: '', '.ruby-version': 'ruby-3.3.5\n' })
  expectRange(tool.pin?.range, ['3.3.13'], ['3.4.0'])
  expect(warnings).toEqual(['.ruby-version says "ruby-3.3.5": the newest 3.3 of Debian is used'])
})

test('The highest of the go lines is the rule, a toolchain line a wish', () => {
  const { tool } = goRequest(
    sourceOf({
      'go.work': 'go 1.21\n',
      'go.mod': 'module x\n\ngo 1.23rc1\n\ntoolchain go1.24.2\n',
    }),
  )
  expect(tool.constraint).toMatchObject({ text: '1.23rc1', range: '>=1.23.0' })
  expect(tool.pin).toMatchObject({ range: '>=1.24.2', from: 'toolchain in go.mod' })
})

function expectRange(range: string | undefined, fits: string[], not: string[]): void {
  const seen = [...fits, ...not].filter((version) => semver.satisfies(version, range ?? 'none'))
  expect(seen).toEqual(fits)
}

function rubyOf(files: Record<string, string>) {
  const source = sourceOf(files)
  return rubyRequest(source, readGems(source))
}

function sourceOf(files: Record<string, string>): Source {
  return {
    readText: (path) => files[path],
    read: () => undefined,
    isFile: (path) => path in files,
    isDirectory: () => false,
    list: () => [],
  }
}
