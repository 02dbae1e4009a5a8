import { type Database, now } from './database.ts'
import { optional, toKey } from './rows.ts'
import type { Key } from './nouns.ts'

export function keyStore({ all, get, run }: Database) {
  return {
    keys: (): Key[] => all('select * from keys order by name').map(toKey),

    findKey: (algorithm: string, blob: string): Key | undefined =>
      optional(get('select * from keys where algorithm = ? and blob = ?', algorithm, blob), toKey),

    addKey: (key: Omit<Key, 'createdAt'> & { blob: string }) =>
      run(
        'insert into keys (name, fingerprint, algorithm, blob, created_at) values (?, ?, ?, ?, ?)',
        key.name,
        key.fingerprint,
        key.algorithm,
        key.blob,
        now(),
      ),

    removeKey: (name: string): boolean => run('delete from keys where name = ?', name) > 0,
  }
}
