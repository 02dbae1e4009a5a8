import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'

const settings =
  'config, formation, stopped, limits, mounts, checks, builder, buildpacks, app_dir, paths'
const jobs = 'number, schedule, timezone, concurrency, command, source, suspended'

export function copyStore({ run, transaction }: Database) {
  return {
    /** Gives a new app all that another is set to, and its cron jobs; no address and no drain. */
    copySettings: (from: App, to: App): void =>
      transaction(() => {
        run(
          `update apps set (${settings}) = (select ${settings} from apps where id = ?) where id = ?`,
          from.id,
          to.id,
        )
        run(
          'insert into log_limits select ?, bytes from log_limits where app_id = ?',
          to.id,
          from.id,
        )
        run(
          `insert into cron_jobs (app_id, ${jobs}, handled_at, created_at)
            select ?1, ${jobs}, ?3, ?3 from cron_jobs where app_id = ?2`,
          ...[to.id, from.id, now()],
        )
      }),
  }
}
