import type { Database } from './database.ts'
import { text } from './rows.ts'

export function pluginStore({ all, run }: Database) {
  return {
    /** Plugins that somebody switched on or off; the others have their own default. */
    pluginSwitches: (): Map<string, boolean> =>
      new Map(all('select * from plugins').map((row) => [text(row.name), row.enabled === 1])),

    switchPlugin: (name: string, enabled: boolean) =>
      run(
        `insert into plugins (name, enabled) values (?, ?)
          on conflict (name) do update set enabled = excluded.enabled`,
        name,
        enabled ? 1 : 0,
      ),
  }
}
