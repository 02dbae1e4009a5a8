import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { isProcessType, parseConfigKey, paths } from '../../core/names.ts'
import type { Plan } from '../buildpack-detect/plan.ts'
import type { LayerPlan } from '../layers/plan.ts'
import { openSource } from '../source/source.ts'

/** What a plan leaves to its steps to say: processes, and environment. */
export type Released = Pick<Plan, 'processes' | 'processesFrom' | 'env'>

/**
 * The processes and the environment of a plan whose steps have run. Those of the plan itself win
 * over what bin/release says. Failure: nobody names a process.
 */
export function releasedBy(config: PaasConfig, plan: Plan, { steps }: LayerPlan): Released {
  const { processes, processesFrom, env, release } = plan
  if (!release) return { processes, processesFrom, env }
  const layer = steps.find(({ step }) => step.name === release.step)?.layer
  const text = layer && openSource(paths(config).layer(layer)).readText(join('app', release.file))
  const said = parseRelease(text ?? '')
  const all = { ...said.processes, ...processes }
  if (Object.keys(all).length === 0) {
    throw new Failure('failed', 'Nothing says what to start: no Procfile, no bin/release', {
      hint: 'Add a Procfile with: web: … and push again',
    })
  }
  return { processes: all, processesFrom, env: { ...env, ...said.env } }
}

/**
 * Reads what bin/release prints: YAML of two levels, of which `default_process_types` and
 * `config_vars` are taken.
 */
export function parseRelease(text: string): Pick<Released, 'processes' | 'env'> {
  const sections: Record<string, Record<string, string>> = {}
  let section = ''
  for (const line of text.split(/\r?\n/)) {
    const top = /^([a-z_]+):/.exec(line)?.[1]
    if (top !== undefined) section = top
    const [, key, value] = /^\s+["']?([\w.-]+)["']?\s*:\s+(\S.*)$/.exec(line) ?? []
    if (key === undefined || value === undefined) continue
    sections[section] = { ...sections[section], [key]: unquoted(value.trim()) }
  }
  const types = Object.entries(sections.default_process_types ?? {})
  return {
    processes: Object.fromEntries(types.filter(([type]) => isProcessType(type))),
    env: Object.fromEntries(Object.entries(sections.config_vars ?? {}).filter(isKey)),
  }
}

function unquoted(value: string): string {
  if (/^'.*'$/.test(value)) return value.slice(1, -1).replaceAll("''", "'")
  if (/^".*"$/.test(value)) return value.slice(1, -1).replace(/\\(["\\])/g, '$1')
  return value.replace(/\s+#.*$/, '')
}

function isKey([key]: [string, string]): boolean {
  try {
    return parseConfigKey(key) === key
  } catch {
    return false
  }
}
