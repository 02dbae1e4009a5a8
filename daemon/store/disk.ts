import { type Database, now } from './database.ts'
import { number, text } from './rows.ts'

/** That a release can be started from a layer: one reference of the ledger. */
export type LayerUse = { key: string; kind: string; label: string; app: string; version: number }

/** A size that was measured, of a layer or of a directory. */
export type Size = { bytes: number; at: string }

export function diskStore({ all, run, transaction }: Database) {
  return {
    /**
     * One entry a layer and release, by app, oldest release first; of these apps, or of all. Failed
     * releases have none.
     */
    layerUses: (apps?: string[]): LayerUse[] =>
      all(
        `select apps.name as app, version, json_extract(layer.value, '$.key') as key,
          json_extract(layer.value, '$.kind') as kind,
          json_extract(layer.value, '$.label') as label
        from releases join apps on apps.id = app_id,
          json_each(releases.image, '$.layers') as layer
        where status <> 'failed' and (?1 is null or apps.name in (select value from json_each(?1)))
        order by apps.name, version, layer.key`,
        apps ? JSON.stringify(apps) : null,
      ).map((row) => ({
        key: text(row.key),
        kind: text(row.kind),
        label: text(row.label),
        app: text(row.app),
        version: number(row.version),
      })),

    /** By name; of these alone, or all. */
    sizes: (names?: string[]): Map<string, Size> =>
      new Map(
        all(
          `select * from sizes where ?1 is null or name in (select value from json_each(?1))`,
          names ? JSON.stringify(names) : null,
        ).map((row) => [text(row.name), { bytes: number(row.bytes), at: text(row.at) }]),
      ),

    /** Those of the names that have no size yet. */
    unmeasured: (names: string[]): string[] =>
      all(
        `select value from json_each(?) where value not in (select name from sizes)`,
        JSON.stringify(names),
      ).map(({ value }) => text(value)),

    setSizes: (sizes: ReadonlyMap<string, number>): void =>
      transaction(() => {
        for (const [name, bytes] of sizes) {
          run('insert or replace into sizes (name, bytes, at) values (?, ?, ?)', name, bytes, now())
        }
      }),

    forgetSizes: (names: string[]): void =>
      transaction(() => {
        for (const name of names) run('delete from sizes where name = ?', name)
      }),
  }
}
