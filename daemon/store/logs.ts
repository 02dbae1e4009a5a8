import { limits } from '../../core/config.ts'
import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { number, text } from './rows.ts'

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

    /** Addresses (URLs) that an app's lines are sent to. */
    drains: (app: App): string[] =>
      all('select url from drains where app_id = ? order by url', app.id).map(({ url }) =>
        text(url),
      ),

    addDrain: (app: App, url: string) =>
      run(
        'insert or ignore into drains (app_id, url, created_at) values (?, ?, ?)',
        app.id,
        url,
        now(),
      ),

    removeDrain: (app: App, url: string): boolean =>
      run('delete from drains where app_id = ? and url = ?', app.id, url) > 0,
  }
}
