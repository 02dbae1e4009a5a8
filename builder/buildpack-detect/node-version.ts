import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source.ts'
import type { PackageJson } from './package-json.ts'
import type { ToolRequest, VersionText } from './plan.ts'

/** Long-term support lines: what their names mean, and which one is the newest. */
const ltsNames: Record<string, number> = {
  argon: 4,
  boron: 6,
  carbon: 8,
  dubnium: 10,
  erbium: 12,
  fermium: 14,
  gallium: 16,
  hydrogen: 18,
  iron: 20,
  jod: 22,
  krypton: 24,
}

export const newestLts = 24

/** Whether a major version is a long-term support line that has begun. */
export function isLts(major: number): boolean {
  return Object.values(ltsNames).includes(major)
}

/**
 * What a tree asks of Node. `engines.node` is a rule; the first of .nvmrc, .node-version,
 * .tool-versions and volta is the wish within it; with neither, the newest LTS line.
 */
export function nodeRequest(
  source: Source,
  packageJson: PackageJson,
): { tool: ToolRequest; warnings: string[] } {
  const engines = packageJson.engines.node
  const constraint =
    engines === undefined ? undefined : versionText(engines, 'engines.node in package.json')
  const pins = [
    pinFile(source, '.nvmrc'),
    pinFile(source, '.node-version'),
    toolVersions(source),
    packageJson.volta.node === undefined
      ? undefined
      : versionText(packageJson.volta.node, 'volta.node in package.json'),
  ].filter((pin) => pin !== undefined)
  const [pin, ...others] = pins
  const warnings = others
    .filter((other) => other.range !== pin?.range)
    .map((other) => `${other.from} says "${other.text}"; ${pin?.from} comes first`)
  return {
    tool: {
      tool: 'node',
      constraint,
      pin,
      choose: `"engines": {"node": "${newestLts}.x"} in package.json`,
      inImage: true,
    },
    warnings,
  }
}

/** The semver range that a version file's words mean. Throws a Failure that names the file. */
export function versionText(text: string, from: string): VersionText {
  const words = text.trim().toLowerCase()
  const range = aliasRange(words) ?? semver.validRange(words.replace(/^node[@-]/, ''))
  if (words !== '' && range) return { text: printable(text.trim()), range, from }
  throw new Failure('failed', `${from} says "${printable(text.trim())}": not a Node version`, {
    hint: `Use a version or a range, such as "${newestLts}.x" or "lts/*"`,
  })
}

function aliasRange(words: string): string | undefined {
  if (['node', 'latest', 'current', 'stable'].includes(words)) return '*'
  const lts = /^lts(?:[/-](.+))?$/.exec(words)
  if (!lts) return undefined
  const name = lts[1] ?? '*'
  if (name === '*') return `${newestLts}.x`
  const back = /^-(\d)$/.exec(name)
  const major = back ? newestLts - 2 * Number(back[1]) : ltsNames[name]
  return major === undefined ? undefined : `${major}.x`
}

/** The first line that is neither empty nor a comment, as nvm and its like read it. */
function pinFile(source: Source, file: string): VersionText | undefined {
  const text = source.readText(file, 4096)
  if (text === undefined) return undefined
  const line = text.split(/\r?\n/).map(withoutComment).find(Boolean)
  return versionText(line ?? '', file)
}

function toolVersions(source: Source): VersionText | undefined {
  const lines = (source.readText('.tool-versions', 65536) ?? '').split(/\r?\n/).map(withoutComment)
  for (const line of lines) {
    const [tool, version] = line.split(/\s+/)
    if (tool === 'nodejs' || tool === 'node') return versionText(version ?? '', '.tool-versions')
  }
  return undefined
}

function withoutComment(line: string): string {
  return line.replace(/#.*$/, '').trim()
}
