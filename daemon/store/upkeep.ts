import { type Database, now } from './database.ts'
import { text } from './rows.ts'

/** What boot and garbage collection ask of the whole store. */
export function upkeepStore({ all, run, transaction }: Database) {
  return {
    /** Content keys of every layer that some release can still be started from. */
    layerKeys: (): Set<string> =>
      new Set(
        all(`select distinct json_extract(layer.value, '$.key') as key
          from releases, json_each(releases.image, '$.layers') as layer
          where status <> 'failed'`).map(({ key }) => text(key)),
      ),

    /** What was about to start with nobody left to start it has failed. */
    failStarting: (): void => {
      run(`update releases set status = 'failed' where status = 'starting'`)
    },

    /** At boot: whatever a previous daemon was in the middle of has failed. */
    failUnfinished: (): void =>
      transaction(() => {
        run(`update releases set status = 'failed' where status = 'starting'`)
        run(
          `update builds set status = 'failed', finished_at = ?,
            error = 'paas was restarted meanwhile' where status in ('waiting', 'running')`,
          now(),
        )
      }),
  }
}
