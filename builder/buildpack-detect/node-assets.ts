import type { Source } from '../source/source.ts'
import { nodeRequestOf } from './node.ts'
import { readProject } from './node-project.ts'
import { hasBuild, planSteps } from './node-steps.ts'
import { bunRequest } from './bun-version.ts'
import type { LanguagePlan, Step } from './plan.ts'

/**
 * What a package.json beside another language adds to its plan: Node for builds alone, and what its
 * build script makes. Nothing without such a script. `on` are the steps that it may need beneath.
 */
export function nodeAssets(
  source: Source,
  on: string[],
): Pick<LanguagePlan, 'tools' | 'steps' | 'warnings'> {
  const none = { tools: [], steps: [], warnings: [] }
  if (!source.isFile('package.json')) return none
  const project = readProject(source)
  if (!hasBuild(project)) return none
  const planned = planSteps(project)
  const build = planned.find(({ kind }) => kind === 'build')
  if (!build) return none
  const { tool, warnings } = nodeRequestOf(project)
  const manager = project.manager.name === 'bun' ? bunRequest(project).tool : project.manager.tool
  const wanted = planned.filter(({ name }) => build.on.includes(name))
  return {
    tools: [tool, ...(manager ? [manager] : [])].map((one) => ({ ...one, inImage: false })),
    steps: [
      ...wanted.map((step): Step => ({ ...step, name: renamed(step.name), inImage: false })),
      { ...build, name: renamed(build.name), on: [...on, ...build.on.map(renamed)] },
    ],
    warnings: [...warnings, ...project.manager.warnings],
  }
}

function renamed(name: string): string {
  return `Node ${name}`
}
