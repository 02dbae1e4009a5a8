import { randomBytes } from 'node:crypto'
import type { AppJson, EnvEntry } from '../../core/app-json.ts'
import { Failure } from '../../core/errors.ts'
import type { AppLimits, Config, Image, Limits, Release, Say } from '../../core/types.ts'
import { formationFor } from '../fleet/processes.ts'

/** Pure but for the making of secrets: what app.json gives an app, and when. */

type Settings = Pick<Release, 'config' | 'globals' | 'formation' | 'limits'>

/**
 * The app's settings with what app.json gives: config at the app's first deploy, quantity and
 * limits at the first of a process type; whatever the user has set wins, but for `sync`. Throws a
 * Failure that names the config that is required and missing.
 */
export function withAppJson(image: Image, before: Image | undefined, settings: Settings, say: Say) {
  const { appJson, processes } = image
  if (!appJson) return { ...settings, formation: formationFor(processes, settings.formation) }
  const isNew = (type: string) => !(type in (before?.processes ?? {}))
  return {
    config: configFrom(appJson.env, settings, before === undefined, say),
    formation: formationFor(processes, { ...quantities(appJson, isNew), ...settings.formation }),
    limits: limitsFrom(appJson, settings.limits, isNew),
  }
}

function configFrom(
  env: Record<string, EnvEntry>,
  { config: given, globals = {} }: Pick<Settings, 'config' | 'globals'>,
  isFirst: boolean,
  say: Say,
): Config {
  const made: Config = {}
  for (const [key, { value, generate, sync }] of Object.entries(env)) {
    if (key in given && !sync) continue
    if (!isFirst && !sync) continue
    if (value !== undefined) made[key] = value
    else if (generate && !(key in given)) made[key] = randomBytes(32).toString('hex')
  }
  const config = { ...given, ...made }
  const missing = Object.entries(env).filter(
    ([key, { required }]) => required && !(key in config) && !(key in globals),
  )
  if (missing.length > 0) throw missingConfig(missing.map(([key]) => key))
  const changed = Object.keys(made).filter((key) => made[key] !== given[key])
  if (changed.length > 0) say(`       Config from app.json: ${changed.join(', ')}`)
  return config
}

function missingConfig(keys: string[]): Failure {
  const pairs = keys.map((key) => `${key}=…`).join(' ')
  const are = keys.length === 1 ? 'is' : 'are'
  return new Failure('failed', `${keys.join(', ')} ${are} required by app.json and not set`, {
    hint: `Set it and push again: config:set <app> ${pairs}`,
  })
}

function quantities({ formation }: AppJson, isNew: (type: string) => boolean) {
  return Object.fromEntries(
    Object.entries(formation).flatMap(([type, { quantity }]) =>
      quantity !== undefined && isNew(type) ? [[type, quantity] as const] : [],
    ),
  )
}

function limitsFrom(
  { formation }: AppJson,
  limits: AppLimits,
  isNew: (type: string) => boolean,
): AppLimits {
  const types: Record<string, Partial<Limits>> = { ...limits.types }
  for (const [type, { memoryBytes, cpus }] of Object.entries(formation)) {
    if (!isNew(type) || (memoryBytes === undefined && cpus === undefined)) continue
    types[type] = {
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(cpus === undefined ? {} : { cpus }),
      ...limits.types?.[type],
    }
  }
  return Object.keys(types).length > 0 ? { ...limits, types } : limits
}
