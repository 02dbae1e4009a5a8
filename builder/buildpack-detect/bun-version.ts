import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { appThenRoot, type NodeProject } from './node-project.ts'
import type { ToolRequest, VersionText } from './plan.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/** What a tree asks of Bun: .bun-version, .tool-versions, then packageManager and engines.bun. */
export function bunRequest(project: NodeProject): { tool: ToolRequest; warnings: string[] } {
  const asked = project.manager.tool
  const { pin, warnings } = firstPin([
    pinOf(appThenRoot(project), { file: '.bun-version', tool: 'bun', name: 'Bun' }),
    asked?.pin,
  ])
  return {
    tool: {
      tool: 'bun',
      constraint: asked?.constraint,
      pin,
      choose: '.bun-version with a line such as 1.4.5, or "packageManager": "bun@1.4.5"',
      inImage: true,
    },
    warnings,
  }
}

/** The version in a file of its own, or in .tool-versions. Failure: it is none. */
export function pinOf(
  source: Source,
  { file, tool, name }: { file: string; tool: string; name: string },
): VersionText | undefined {
  const own = firstLine(source, file)
  const text = own ?? toolVersion(source, [tool])
  if (text === undefined) return undefined
  const from = own === undefined ? '.tool-versions' : file
  const range = text === 'latest' ? '*' : semver.validRange(text.replace(/^(v|bun-v|deno-v)/, ''))
  if (range && text !== '') return { text: printable(text), range, from }
  throw new Failure('failed', `${from} says "${printable(text)}": not a ${name} version`, {
    hint: 'Use a version or a range, such as "1.2" or "~1.2.3"',
  })
}
