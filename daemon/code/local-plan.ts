import { parseArgs } from 'node:util'
import { readAppJson } from '../../builder/app-json.ts'
import { detect, otherBuilder } from '../../builder/buildpack-detect/detect.ts'
import type { Plan, ToolRequest } from '../../builder/buildpack-detect/plan.ts'
import { type DockerPlan, planDockerfile } from '../../builder/docker/plan.ts'
import { readCron } from '../../builder/cron.ts'
import { openSource } from '../../builder/source/source.ts'
import { errno, Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'

/** `paas plan [DIR] [--builder NAME] [--json]`: how a directory would be built, in words. */
export function planHere(args: string[]): { lines: string[]; warnings: string[] } {
  const { dir, builder, json } = parse(args)
  const source = open(dir)
  const docker = planDockerfile(source, builder)
  const plan = docker ?? detect(source, builder)
  const appJson = readAppJson(source)
  const cron = readCron(source)
  if (!json) {
    const lines = 'images' in plan ? describeDockerfile(plan) : describe(plan)
    return { lines, warnings: plan.warnings.map((warning) => ` !     ${warning}`) }
  }
  const all = { ...plan, appJson: appJson ?? null, cron: cron ?? [] }
  return { lines: JSON.stringify(all, null, 2).split('\n'), warnings: [] }
}

function parse(args: string[]): { dir: string; builder: string | undefined; json: boolean } {
  const options = { builder: { type: 'string' }, json: { type: 'boolean' } } as const
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    const [dir = '.', ...more] = positionals
    if (more.length === 0) return { dir, builder: values.builder, json: values.json ?? false }
    throw new Error(`"${printable(more[0] ?? '')}" is one argument too many`)
  } catch (cause) {
    const seen = cause instanceof Error ? cause.message : String(cause)
    throw new Failure('usage', seen, { hint: 'paas plan [DIR] [--builder NAME] [--json]', cause })
  }
}

function open(dir: string) {
  try {
    return openSource(dir)
  } catch (cause) {
    if (errno(cause) === undefined) throw cause
    throw new Failure('failed', `Could not read ${printable(dir)}: ${errno(cause)}`, { cause })
  }
}

function describe(plan: Plan): string[] {
  const { language, because, tools, apt, userApt, steps, processes, processesFrom } = plan
  const packages = [...new Set([...apt.run, ...apt.build, ...userApt])]
  return [
    `-----> ${language} detected (${because})`,
    `       ${otherBuilder}`,
    ...tools.flatMap((tool) => [
      `       ${tool.suite?.name ?? tool.tool}: ${asked(tool)}`,
      `       To choose another: ${tool.choose}`,
    ]),
    ...(plan.base === undefined ? [] : [`       Base: ${plan.base} (base in paas.toml)`]),
    ...(packages.length > 0 ? [`       Debian packages: ${packages.join(', ')}`] : []),
    ...steps.map(({ name, title }) => `       ${name}: ${title}`),
    ...Object.entries(processes).map(
      ([type, command]) => `       ${type}: ${command} (${processesFrom})`,
    ),
  ]
}

function describeDockerfile(plan: DockerPlan): string[] {
  const { file, because, otherwise, context, target, images, processes = {} } = plan
  return [
    `-----> ${file} found (${because})`,
    `       ${otherwise}`,
    `       context: ${context}`,
    ...(target === undefined ? [] : [`       target: ${target}`]),
    ...images.map(({ name }) => `       base image: ${name}`),
    ...Object.entries(processes).map(
      ([type, command]) => `       ${type}: ${command} (${plan.processesFrom})`,
    ),
  ]
}

function asked({ constraint, pin, git }: ToolRequest): string {
  if (git) return git.shown
  const texts = [pin, constraint].filter((text) => text !== undefined)
  return texts.map(({ text, from }) => `"${text}" (${from})`).join(', ') || 'the default version'
}
