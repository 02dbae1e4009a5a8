import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { ToolRequest, VersionText } from './plan.ts'
import { readToml, table, type Table } from './toml.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/**
 * What a tree asks of Rust. `rust-version` in Cargo.toml is a rule; the first of
 * rust-toolchain.toml, rust-toolchain and .tool-versions is the wish within it. Builds alone have
 * the toolchain.
 */
export function rustRequest(
  source: Source,
  manifest: Table,
): { tool: ToolRequest; warnings: string[] } {
  const files: [text: string | undefined, from: string][] = [
    [channelOf(source, 'rust-toolchain.toml'), 'rust-toolchain.toml'],
    [oldChannel(source), 'rust-toolchain'],
    [toolVersion(source, ['rust']), '.tool-versions'],
  ]
  const { pin, warnings } = firstPin(
    files.map(([text, from]) => (text === undefined ? text : rustVersion(text, from))),
  )
  return {
    tool: {
      tool: 'rust',
      constraint: minimum(manifest),
      pin,
      choose: 'rust-toolchain.toml with [toolchain] and a line such as channel = "1.85"',
      inImage: false,
      suite: {
        name: 'Rust',
        candidates: [{ package: 'rustc', run: [], build: ['cargo', 'rustc'] }],
      },
    },
    warnings,
  }
}

function channelOf(source: Source, file: string): string | undefined {
  const { channel } = table(readToml(source, file), 'toolchain')
  return typeof channel === 'string' ? channel : undefined
}

/** The older file is TOML too, or the channel and nothing else. */
function oldChannel(source: Source): string | undefined {
  const line = firstLine(source, 'rust-toolchain')
  return line?.startsWith('[') ? channelOf(source, 'rust-toolchain') : line
}

/** `stable`, `1.85`, `1.85.1-x86_64-unknown-linux-gnu`. Failure: a nightly, a beta, no version. */
function rustVersion(text: string, from: string): VersionText {
  const words = text.trim()
  if (/^(nightly|beta)/.test(words)) {
    throw new Failure(
      'failed',
      `${from} asks for "${printable(words)}": paas has stable Rust only`,
      {
        hint: 'Use channel = "stable", or build with a Dockerfile',
      },
    )
  }
  const number = words.replace(/^stable(-|$)/, '*-').replace(/-.*$/, '')
  const range = semver.validRange(number)
  if (range !== null && words !== '') return { text: printable(words), range, from }
  throw new Failure('failed', `${from} says "${printable(words)}": not a Rust version`, {
    hint: 'Use a version such as 1.85, or stable',
  })
}

function minimum(manifest: Table): VersionText | undefined {
  const own = table(manifest, 'package')['rust-version']
  const shared = table(table(manifest, 'workspace'), 'package')['rust-version']
  const text = [own, shared].find((one) => typeof one === 'string')
  if (typeof text !== 'string') return undefined
  const from = 'rust-version in Cargo.toml'
  const { range } = rustVersion(text, from)
  return { text, range: `>=${semver.minVersion(range)?.version ?? '0.0.0'}`, from }
}
