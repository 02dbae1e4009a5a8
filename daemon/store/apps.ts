import type { App, AppLimits, Config, Formation, Limits } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { json, must, optional, toApp, toNumbers, toStrings } from './rows.ts'

export function appStore({ all, get, run, transaction }: Database) {
  return {
    apps: (): App[] => all('select * from apps order by name').map(toApp),

    findApp: (name: string): App | undefined =>
      optional(get('select * from apps where name = ?', name), toApp),

    createApp(name: string, limits: Limits): App {
      const sql = 'insert into apps (name, limits, created_at) values (?, ?, ?) returning *'
      return toApp(must(get(sql, name, JSON.stringify(limits), now())))
    },

    destroyApp: (app: App): void =>
      transaction(() => {
        run('update apps set current_release = null where id = ?', app.id)
        run('delete from apps where id = ?', app.id)
      }),

    setDeployBranch: (app: App, branch: string) =>
      run('update apps set deploy_branch = ? where id = ?', branch, app.id),

    /** What the next release will have; the current release has its own copy. */
    config: (app: App): Config =>
      toStrings(json(must(get('select config from apps where id = ?', app.id)).config)),
    setConfig: (app: App, config: Config) =>
      run('update apps set config = ? where id = ?', JSON.stringify(config), app.id),

    formation: (app: App): Formation =>
      toNumbers(json(must(get('select formation from apps where id = ?', app.id)).formation)),
    setFormation: (app: App, formation: Formation) =>
      run('update apps set formation = ? where id = ?', JSON.stringify(formation), app.id),

    setLimits: (app: App, limits: AppLimits) =>
      run('update apps set limits = ? where id = ?', JSON.stringify(limits), app.id),
  }
}
