import type { App, Mount } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { json, must, text, toMounts } from './rows.ts'

/** Named storages, which belong to no app and outlive them all. */
export function storageStore({ all, get, run }: Database) {
  return {
    storages: (): string[] =>
      all('select name from storages order by name').map(({ name }) => text(name)),

    createStorage: (name: string) =>
      run('insert into storages (name, created_at) values (?, ?)', name, now()),

    removeStorage: (name: string) => run('delete from storages where name = ?', name),

    /** What the next release of an app will have mounted. */
    mounts: (app: App): Mount[] =>
      toMounts(json(must(get('select mounts from apps where id = ?', app.id)).mounts)),
    setMounts: (app: App, mounts: Mount[]) =>
      run('update apps set mounts = ? where id = ?', JSON.stringify(mounts), app.id),
  }
}
