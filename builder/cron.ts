import { limits } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { CronEntry } from '../core/types.ts'
import { parseJson } from './json-document.ts'
import type { Source } from './source.ts'

const fileBytesMost = 256 * 1024
const policies = ['allow', 'forbid', 'replace'] as const

/** The `cron` of the app.json at the root of a tree; undefined when there is none. */
export function readCron(source: Source): CronEntry[] | undefined {
  const content = source.readText('app.json', fileBytesMost)
  return content === undefined ? undefined : parseCron(content)
}

/**
 * The cron jobs of an app.json, JSON with comments. Whether a schedule is one is for whoever runs
 * it to say. Throws a Failure that names the entry and what is wanted. Pure.
 */
export function parseCron(content: string): CronEntry[] | undefined {
  const json = parseJson('app.json', content).value
  if (!isObject(json) || json.cron === undefined) return undefined
  if (!Array.isArray(json.cron)) throw wrong('cron', 'a list')
  if (json.cron.length > limits.cronJobsPerApp) {
    throw wrong('cron', `at most ${limits.cronJobsPerApp} jobs`)
  }
  return json.cron.map((entry: unknown, index) => {
    const path = `cron[${index}]`
    if (!isObject(entry)) throw wrong(path, '{"command": ..., "schedule": ...}')
    const { command, schedule, timezone = 'UTC', concurrency_policy = 'forbid' } = entry
    const concurrency = policies.find((policy) => policy === concurrency_policy)
    if (typeof command !== 'string' || !command) throw wrong(`${path}.command`, 'a command')
    if (typeof schedule !== 'string') throw wrong(`${path}.schedule`, '"*/15 * * * *" or the like')
    if (typeof timezone !== 'string') throw wrong(`${path}.timezone`, '"Europe/Berlin" or the like')
    if (!concurrency) throw wrong(`${path}.concurrency_policy`, policies.join(', '))
    return { command, schedule, timezone, concurrency }
  })
}

function wrong(path: string, wanted: string): Failure {
  return new Failure('failed', `${path} in app.json is wrong: expected ${wanted}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
