import type { Database } from './database.ts'
import type { CheckMode, CheckSettings } from './nouns.ts'
import { json, number, object, optional, type Row } from './rows.ts'

export function checkStore({ get, run }: Database) {
  return {
    /** What `checks:*` has set for an app; nothing for one that is gone. */
    checks: (app: string): CheckSettings =>
      optional(get('select checks from apps where name = ?', app), toChecks) ?? { modes: {} },

    setChecks: (app: string, settings: CheckSettings) =>
      run('update apps set checks = ? where name = ?', JSON.stringify(settings), app),
  }
}

function toChecks(row: Row): CheckSettings {
  const { timeoutMs, drainMs, graceMs, modes } = object(json(row.checks))
  return {
    ...(timeoutMs === undefined ? {} : { timeoutMs: number(timeoutMs) }),
    ...(drainMs === undefined ? {} : { drainMs: number(drainMs) }),
    ...(graceMs === undefined ? {} : { graceMs: number(graceMs) }),
    modes: Object.fromEntries(
      Object.entries(object(modes ?? {})).map(([type, mode]) => [type, toMode(mode)]),
    ),
  }
}

function toMode(value: unknown): CheckMode {
  return value === 'disabled' || value === 'skipped' ? value : 'enabled'
}
