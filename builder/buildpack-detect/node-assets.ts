import type { Source } from '../source.ts'
import { planSteps } from './node-steps.ts'
import { nodeRequest } from './node-version.ts'
import { readPackageJson } from './package-json.ts'
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
  const packageJson = readPackageJson(source)
  const lockfile = ['npm-shrinkwrap.json', 'package-lock.json'].find((name) => source.isFile(name))
  const planned = planSteps(source, packageJson, lockfile)
  const build = planned.find(({ kind }) => kind === 'build')
  if (!build) return none
  const { tool, warnings } = nodeRequest(source, packageJson)
  const wanted = planned.filter(({ name }) => build.on.includes(name))
  return {
    tools: [{ ...tool, inImage: false }],
    steps: [
      ...wanted.map((step): Step => ({ ...step, name: renamed(step.name), inImage: false })),
      { ...build, name: renamed(build.name), on: [...on, ...build.on.map(renamed)] },
    ],
    warnings,
  }
}

function renamed(name: string): string {
  return `Node ${name}`
}
