import type { App } from '../../core/types.ts'
import type { Database } from './database.ts'
import { json, must, text, texts } from './rows.ts'

/** What of its repository an app reads, in its owner's words; the code may say the same. */
export type CodeSettings = {
  /** The folder of the app; null when paas.toml says it, or there is none. */
  appDir: string | null
  /** What a push must change to be deployed; empty when paas.toml says it, or all counts. */
  paths: string[]
  /** What it is built on: the name of an image, `stack`; null when paas.toml says it. */
  base: string | null
}

export function codeStore({ get, run }: Database) {
  return {
    codeSettings(app: App): CodeSettings {
      const row = must(get('select app_dir, paths, base from apps where id = ?', app.id))
      const appDir = row.app_dir === null ? null : text(row.app_dir)
      const base = row.base === null ? null : text(row.base)
      return { appDir, paths: texts(json(row.paths)), base }
    },
    setAppDir: (app: App, dir: string | null) =>
      run('update apps set app_dir = ? where id = ?', dir, app.id),
    setBase: (app: App, base: string | null) =>
      run('update apps set base = ? where id = ?', base, app.id),
    setPaths: (app: App, paths: string[]) =>
      run('update apps set paths = ? where id = ?', JSON.stringify(paths), app.id),
  }
}
