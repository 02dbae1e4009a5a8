import { limits } from '../../core/config.ts'
import { byText } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import type { Cipher } from './cipher.ts'
import { type Database, now } from './database.ts'
import { number, text } from './rows.ts'

/** `anywhere`: to this very machine too, which only root on it may say. */
export type DrainRow = { url: string; anywhere: boolean }

/** How much log an app keeps, and where else its lines go. */
export function logStore({ all, get, run }: Database, cipher: Cipher) {
  const rows = (app: App) =>
    all('select rowid as id, url, anywhere from drains where app_id = ?', app.id).map((row) => ({
      id: number(row.id),
      url: cipher.open(text(row.url)), // a password may be in it
      anywhere: row.anywhere === 1,
    }))
  const find = (app: App, url: string) => rows(app).find((row) => row.url === url)
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
      rows(app)
        .map(({ url, anywhere }) => ({ url, anywhere }))
        .sort((a, b) => byText(a.url, b.url)),

    /** Who may send anywhere lets an address be that is there already. */
    addDrain(app: App, { url, anywhere }: DrainRow): void {
      const same = find(app, url)
      const anyhow = (same?.anywhere ?? false) || anywhere ? 1 : 0
      if (same) run('update drains set anywhere = ? where rowid = ?', anyhow, same.id)
      else
        run(
          'insert into drains (app_id, url, anywhere, created_at) values (?, ?, ?, ?)',
          ...[app.id, cipher.seal(url), anyhow, now()],
        )
    },

    removeDrain(app: App, url: string): boolean {
      const same = find(app, url)
      return same !== undefined && run('delete from drains where rowid = ?', same.id) > 0
    },
  }
}
