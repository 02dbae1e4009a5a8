import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { number, text } from './rows.ts'

const errorMost = 1000

const failStarting = `update releases set status = 'failed',
  error = coalesce(error, 'paas was stopped meanwhile') where status = 'starting'`

/** What boot and garbage collection ask of the whole store. */
export function upkeepStore({ all, get, run, transaction }: Database) {
  return {
    /** Content keys of every layer that some release can still be started from. */
    layerKeys: (): Set<string> =>
      new Set(all('select distinct key from release_layers').map(({ key }) => text(key))),

    /** Why a change failed, kept with the release it had made; returns that one's version. */
    explainFailure(app: App, error: string): number | null {
      const sql = `update releases set error = ?2 where error is null and status = 'failed' and
        id = (select max(id) from releases where app_id = ?1) returning version`
      const row = get(sql, app.id, error.slice(0, errorMost))
      return row ? number(row.version) : null
    },

    /** What was about to start with nobody left to start it has failed. */
    failStarting: (): void => {
      run(failStarting)
    },

    /** At boot: whatever a previous daemon was in the middle of has failed. */
    failUnfinished: (): void =>
      transaction(() => {
        run(failStarting)
        run(
          `update builds set status = 'failed', finished_at = ?,
            error = 'paas was restarted meanwhile' where status in ('waiting', 'running')`,
          now(),
        )
      }),
  }
}
