import { limits } from '../core/config.ts'
import type { CronEntry } from '../core/types.ts'
import { appJsonFile } from './app-json-file.ts'
import {
  items,
  type Json,
  member,
  optional,
  required,
  text,
  words,
  wrong,
} from './json-document.ts'
import type { Source } from './source/source.ts'

const policies = ['allow', 'forbid', 'replace'] as const

/** The `cron` of the app.json at the root of a tree; undefined when there is none. */
export function readCron(source: Source): CronEntry[] | undefined {
  const json = appJsonFile(source)
  return json && toCron(json)
}

/**
 * The cron jobs of an app.json. Whether a schedule is one is for whoever runs it to say. Throws a
 * Failure that names the entry and what is wanted. Pure.
 */
export function toCron(json: Json): CronEntry[] | undefined {
  const list = member(json, 'cron')
  if (!list) return undefined
  const entries = items(list)
  const most = limits.cronJobsPerApp
  if (entries.length > most) throw wrong(list, `at most ${most} jobs`)
  return entries.map((entry) => ({
    command: required(entry, 'command', { read: words, want: 'a command' }),
    schedule: required(entry, 'schedule', { read: text, want: '"*/15 * * * *" or the like' }),
    timezone: optional(entry, 'timezone', text) ?? 'UTC',
    concurrency: optional(entry, 'concurrency_policy', policy) ?? 'forbid',
  }))
}

function policy(json: Json): CronEntry['concurrency'] {
  const found = policies.find((one) => one === json.value)
  if (found) return found
  throw wrong(json, policies.join(', '))
}
