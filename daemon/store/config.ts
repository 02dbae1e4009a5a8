import type { App, Config } from '../../core/types.ts'
import { type Cipher, isSealed } from './cipher.ts'
import type { Database } from './database.ts'
import { json, must, type Row, text, toStrings } from './rows.ts'

/** Config of apps, of releases and of all apps together: sealed in every row, plain only here. */
export type ConfigStore = ReturnType<typeof configStore>

export function configStore({ get, run }: Database, cipher: Cipher) {
  const sealed = (config: Config): string => cipher.seal(JSON.stringify(config))
  const read = (row: Row | undefined): Config =>
    toStrings(json(cipher.open(text(must(row).config))))
  const globalConfig = (): Config => read(get('select config from global_config'))
  const config = (app: App): Config => read(get('select config from apps where id = ?', app.id))
  return {
    sealed,
    unsealed: (stored: string): Config => toStrings(json(cipher.open(stored))),
    /** What the app's next release will have of its own; the current release has its own copy. */
    config,
    setConfig: (app: App, values: Config) =>
      run('update apps set config = ? where id = ?', sealed(values), app.id),

    /** What every app's next release will have unless the app itself says otherwise. */
    globalConfig,
    setGlobalConfig: (values: Config) => run('update global_config set config = ?', sealed(values)),

    /** Both together, as the app's next release will see it. */
    effectiveConfig: (app: App): Config => ({ ...globalConfig(), ...config(app) }),
  }
}

/** Columns that hold secrets, and nothing else does. */
const places = [
  { table: 'apps', column: 'config' },
  { table: 'releases', column: 'config' },
  { table: 'releases', column: 'globals' },
  { table: 'global_config', column: 'config' },
  { table: 'registries', column: 'login' },
  { table: 'drains', column: 'url' },
]

/** Whether anything was sealed before, so that its key must be there. */
export function holdsSealed({ all }: Database): boolean {
  return places.some(({ table, column }) =>
    all(`select ${column} as stored from ${table} where ${column} <> '{}'`).some(({ stored }) =>
      isSealed(text(stored)),
    ),
  )
}

/** Seals what a paas without encryption has left, and leaves no copy of it in the file's gaps. */
export function sealPlain({ all, run, exec, transaction }: Database, cipher: Cipher): void {
  let count = 0
  transaction(() => {
    for (const { table, column } of places) {
      const rows = all(
        `select rowid as id, ${column} as stored from ${table} where ${column} <> '{}'`,
      )
      for (const { id, stored } of rows) {
        if (isSealed(text(stored))) continue
        const value = cipher.seal(text(stored))
        count += run(`update ${table} set ${column} = ? where rowid = ?`, value, Number(id))
      }
    }
  })
  if (count > 0) exec('vacuum; pragma wal_checkpoint(truncate)')
}
