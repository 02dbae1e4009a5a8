import type { App, Mount } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { json, must, text, toMounts } from './rows.ts'

/** Named storages, which belong to no app and outlive them all. */
export function storageStore({ all, get, run }: Database) {
  return {
    storages: (): string[] =>
      all('select name from storages order by name').map(({ name }) => text(name)),

    /** What those may hold that have a limit, in bytes. */
    storageSizes: (): Map<string, number> => {
      const rows = all('select name, size_bytes from storages where size_bytes is not null')
      return new Map(rows.map((row) => [text(row.name), Number(row.size_bytes)]))
    },

    createStorage: (name: string, sizeBytes: number | null = null) =>
      run(
        'insert into storages (name, created_at, size_bytes) values (?, ?, ?)',
        name,
        now(),
        sizeBytes,
      ),

    resizeStorage: (name: string, sizeBytes: number | null) =>
      run('update storages set size_bytes = ? where name = ?', sizeBytes, name),

    removeStorage: (name: string) => run('delete from storages where name = ?', name),

    /**
     * Who has a storage: by its mounts, by a release that is about to start, or by one of these
     * (`shop v7`), which run.
     */
    storageUsers: (name: string, running: string[]): { app: string; target: string }[] =>
      all(
        `select distinct app, mount ->> 'target' as target from (
          select name as app, value as mount from apps, json_each(mounts)
          union all select name, value from releases join apps on apps.id = app_id,
            json_each(releases.mounts) where status = 'starting'
              or name || ' v' || version in (select value from json_each(?2))
        ) where mount ->> 'storage' = ?1 order by app, target`,
        name,
        JSON.stringify(running),
      ).map((row) => ({ app: text(row.app), target: text(row.target) })),

    /** What the next release of an app will have mounted. */
    mounts: (app: App): Mount[] =>
      toMounts(json(must(get('select mounts from apps where id = ?', app.id)).mounts)),
    setMounts: (app: App, mounts: Mount[]) =>
      run('update apps set mounts = ? where id = ?', JSON.stringify(mounts), app.id),
  }
}
