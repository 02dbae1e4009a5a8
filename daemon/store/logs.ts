import { limits } from '../../core/config.ts'
import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { number, text } from './rows.ts'

/** `anywhere`: to this very machine too, which only root on it may say. */
export type DrainRow = { url: string; anywhere: boolean }

/** How much log an app keeps, and where else its lines go. */
export function logStore({ all, get, run }: Database) {
  return {
    /** Bytes on disk. */
    logLimit: (app: App): number =>
      number(
        get('select bytes from log_limits where app_id = ?', app.id)?.bytes ??
          limits.logBytesPerApp,
      ),

    setLogLimit: (app: App, bytes: number) =>
      run(
        `insert into log_limits (app_id, bytes) values (?, ?)
          on conflict (app_id) do update set bytes = excluded.bytes`,
        app.id,
        bytes,
      ),

    /** Where an app's lines are sent to. */
    drains: (app: App): DrainRow[] =>
      all('select url, anywhere from drains where app_id = ? order by url', app.id).map((row) => ({
        url: text(row.url),
        anywhere: row.anywhere === 1,
      })),

    /** Who may send anywhere lets an address be that is there already. */
    addDrain: (app: App, { url, anywhere }: DrainRow) =>
      run(
        `insert into drains (app_id, url, anywhere, created_at) values (?, ?, ?, ?)
          on conflict do update set anywhere = max(anywhere, excluded.anywhere)`,
        ...[app.id, url, anywhere ? 1 : 0, now()],
      ),

    removeDrain: (app: App, url: string): boolean =>
      run('delete from drains where app_id = ? and url = ?', app.id, url) > 0,
  }
}
