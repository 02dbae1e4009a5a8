import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { bunRequest } from './bun-version.ts'
import { nodeRequestOf, planProject } from './node.ts'
import { readProject } from './node-project.ts'
import { hasBuild } from './node-steps.ts'
import { findWeb } from './node-web.ts'
import type { Detector, LanguagePlan, Surroundings } from './plan.ts'

/** Bun installs and runs; Node is there for what asks for it. */
export const bun: Detector = {
  language: 'Bun',
  looksFor: 'bun.lock, bun.lockb, bunfig.toml or bun as packageManager in package.json',
  detect: detectBun,
  plan: planBun,
}

/** A lockfile left over from a try must not outdo what package.json says. */
function detectBun(source: Source): string | undefined {
  const text = source.readText('package.json') ?? ''
  const asked = /"packageManager"\s*:\s*"([a-z]+)/.exec(text)?.[1]
  if (asked && asked !== 'bun') return undefined
  const file = ['bun.lock', 'bun.lockb', 'bunfig.toml'].find((name) => source.isFile(name))
  return file ?? (asked && 'packageManager in package.json')
}

function planBun(source: Source, around: Surroundings): LanguagePlan {
  if (!source.isFile('package.json')) {
    throw new Failure(
      'failed',
      `Bun detected (${detectBun(source)}), but there is no package.json`,
      {
        hint: 'Write at least {} in package.json, or choose another builder: builder:set <app> <name>',
      },
    )
  }
  const project = readProject(source, around)
  const asked = bunRequest(project)
  const node = nodeRequestOf(project)
  const { web } = findWeb(project)
  const commands = around.processes ? Object.values(around.processes) : [web?.command ?? 'bun']
  const nodeRuns = commands.some((command) => !/^(exec\s+)?bunx?\s/.test(`${command} `))
  const withNode = nodeRuns || hasBuild(project)
  const runtimes = [...(withNode ? [{ ...node.tool, inImage: nodeRuns }] : []), asked.tool]
  const warnings = [...(withNode ? node.warnings : []), ...asked.warnings]
  // Bun is its own manager.
  const manager = { ...project.manager, tool: undefined }
  return planProject({ ...project, manager }, around, runtimes, warnings)
}
