import { type Database, now } from './database.ts'
import { number, text } from './rows.ts'

/** That a release can be started from a layer: one reference of the ledger. */
export type LayerUse = { key: string; kind: string; label: string; app: string; version: number }

/** A size that was measured, of a layer or of a directory. */
export type Size = { bytes: number; at: string }

export function diskStore({ all, run, transaction }: Database) {
  return {
    /** One entry a layer and release, by app, oldest release first. Failed ones have none. */
    layerUses: (): LayerUse[] =>
      all(`select apps.name as app, version, json_extract(layer.value, '$.key') as key,
          json_extract(layer.value, '$.kind') as kind,
          json_extract(layer.value, '$.label') as label
        from releases join apps on apps.id = app_id,
          json_each(releases.image, '$.layers') as layer
        where status <> 'failed' order by apps.name, version, layer.key`).map((row) => ({
        key: text(row.key),
        kind: text(row.kind),
        label: text(row.label),
        app: text(row.app),
        version: number(row.version),
      })),

    sizes: (): Map<string, Size> =>
      new Map(
        all('select * from sizes').map((row) => [
          text(row.name),
          { bytes: number(row.bytes), at: text(row.at) },
        ]),
      ),

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
