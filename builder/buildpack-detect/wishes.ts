import { Failure } from '../../core/errors.ts'
import { commandIn } from './app-dir.ts'
import type { Wishes } from './paas-toml.ts'
import type { LanguagePlan, Step, ToolRequest } from './plan.ts'

/** A language's plan with what paas.toml says otherwise. */
export function withWishes(plan: LanguagePlan, wishes: Wishes): LanguagePlan {
  const { buildCommand, env, versions } = wishes
  const names = plan.tools.map(({ tool }) => tool)
  const other = Object.keys(versions).find((tool) => !names.includes(tool))
  if (other !== undefined) {
    throw new Failure('failed', `versions.${other} in paas.toml: this app does not use ${other}`, {
      hint: `It uses: ${names.join(', ') || 'no tool that has a version'}`,
    })
  }
  return {
    ...plan,
    tools: plan.tools.map((request) => withVersion(request, versions)),
    steps: buildCommand === undefined ? plan.steps : withBuild(plan.steps, buildCommand, wishes),
    env: { ...plan.env, ...env },
  }
}

/** What is said to paas itself wins over what the language's own files say. */
function withVersion(request: ToolRequest, versions: Wishes['versions']): ToolRequest {
  const pin = versions[request.tool]
  if (pin === undefined) return request
  const choose = `another ${pin.from}, or none for what the language's own files say`
  return { ...request, constraint: undefined, pin, choose }
}

function withBuild(steps: Step[], command: string, { appDir, env }: Wishes): Step[] {
  const own = steps.filter(({ kind }) => kind === 'build')
  const kept = steps.filter(({ kind }) => kind !== 'build')
  return [
    ...kept,
    {
      name: 'build',
      kind: 'build',
      title: command,
      argv: ['sh', '-c', commandIn(appDir, command)],
      env: { ...own[0]?.env, ...env },
      configKeys: own.flatMap(({ configKeys }) => configKeys),
      configPrefixes: own.flatMap(({ configPrefixes }) => configPrefixes),
      inputs: { kind: 'tree', why: 'every file' },
      on: own[0]?.on ?? kept.map(({ name }) => name),
      inImage: true,
      shareable: false,
      drop: own.flatMap(({ drop }) => drop),
      hint: 'It is build.command in paas.toml; try it at home',
    },
  ]
}
