import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { ToolRequest, VersionText } from './plan.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/**
 * What a tree asks of Elixir. `elixir:` in mix.exs is a rule; the first of .elixir-version,
 * elixir_buildpack.config and .tool-versions is the wish within it. Erlang is the one that the
 * suite's Elixir was made for.
 */
export function elixirRequest(
  source: Source,
  mix: string,
): { tool: ToolRequest; warnings: string[] } {
  const config = source.readText('elixir_buildpack.config', 65536) ?? ''
  const files: [text: string | undefined, from: string][] = [
    [firstLine(source, '.elixir-version'), '.elixir-version'],
    [/^elixir_version=["']?([^"'\s]+)/m.exec(config)?.[1], 'elixir_buildpack.config'],
    [toolVersion(source, ['elixir']), '.tool-versions'],
  ]
  const { pin, warnings } = firstPin(
    files.map(([text, from]) => (text === undefined ? text : elixirVersion(text, from))),
  )
  const declared = /\belixir:\s*"([^"]+)"/.exec(mix)?.[1]
  return {
    tool: {
      tool: 'elixir',
      constraint: declared === undefined ? undefined : elixirVersion(declared, 'elixir in mix.exs'),
      pin,
      choose: 'elixir: "~> 1.18" in mix.exs',
      inImage: false,
      suite: {
        name: 'Elixir',
        candidates: [{ package: 'elixir', run: [], build: ['elixir'] }],
      },
    },
    warnings,
  }
}

/** `1.18.3-otp-27`, `v1.18`, `~> 1.15`, `>= 1.14 and < 2.0 or ~> 3.0`. Failure: not a version. */
function elixirVersion(text: string, from: string): VersionText {
  const words = text.trim()
  const either = words.split(/\s+or\s+/).map((part) =>
    part
      .split(/\s+and\s+/)
      .map(rule)
      .join(' '),
  )
  const range = semver.validRange(either.join(' || '))
  if (range !== null && words !== '') return { text: printable(words), range, from }
  throw new Failure('failed', `${from} says "${printable(words)}": not an Elixir version`, {
    hint: 'Use a version or a rule, such as "1.18" or "~> 1.15"',
  })
}

/** `~> 1.15` is any 1.x from there on, `~> 1.15.2` any 1.15.x. */
function rule(part: string): string {
  const clean = part
    .trim()
    .replace(/^v/, '')
    .replace(/-otp-\d+$/, '')
  const [, numbers] = /^~>\s*([\d.]+)/.exec(clean) ?? []
  if (numbers === undefined) return clean.replace(/^==\s*/, '')
  return numbers.split('.').length > 2 ? `~${numbers}` : `^${numbers}`
}
