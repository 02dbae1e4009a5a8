import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { PackageJson } from './package-json.ts'
import type { ToolRequest, VersionText } from './plan.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

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
  const constraint = said(packageJson.engines.node, 'engines.node in package.json')
  const { pin, warnings } = firstPin([
    said(firstLine(source, '.nvmrc'), '.nvmrc'),
    said(firstLine(source, '.node-version'), '.node-version'),
    said(toolVersion(source, ['nodejs', 'node']), '.tool-versions'),
    said(packageJson.volta.node, 'volta.node in package.json'),
  ])
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

function said(text: string | undefined, from: string): VersionText | undefined {
  return text === undefined ? undefined : versionText(text, from)
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
