import type { App, AppLimits, Formation, Limits } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { json, must, number, optional, texts, toApp, toNumbers } from './rows.ts'

export function appStore({ all, get, run, transaction }: Database) {
  return {
    apps: (): App[] => all('select * from apps order by name').map(toApp),

    findApp: (name: string): App | undefined =>
      optional(get('select * from apps where name = ?', name), toApp),

    createApp(name: string, limits: Limits): App {
      const sql = 'insert into apps (name, limits, created_at) values (?, ?, ?) returning *'
      return toApp(must(get(sql, name, JSON.stringify(limits), now())))
    },

    /** Whether a push creates the app that it is for. */
    autocreate: (): boolean =>
      number(must(get('select autocreate from global_config')).autocreate) === 1,
    setAutocreate: (on: boolean) => run('update global_config set autocreate = ?', Number(on)),

    /** For an app without a release: another gets its new name with one, by commitRelease. */
    renameApp: (app: App, name: string) =>
      run('update apps set name = ? where id = ?', name, app.id),

    destroyApp: (app: App): void =>
      transaction(() => {
        run('update apps set current_release = null where id = ?', app.id)
        run('delete from apps where id = ?', app.id)
      }),

    setDeployBranch: (app: App, branch: string) =>
      run('update apps set deploy_branch = ? where id = ?', branch, app.id),

    formation: (app: App): Formation =>
      toNumbers(json(must(get('select formation from apps where id = ?', app.id)).formation)),
    setFormation: (app: App, formation: Formation) =>
      run('update apps set formation = ? where id = ?', JSON.stringify(formation), app.id),

    /** What ran of each type before it was stopped. */
    setStopped: (app: App, stopped: Formation) =>
      run('update apps set stopped = ? where id = ?', JSON.stringify(stopped), app.id),

    setLock: (app: App, by: string | null) =>
      run('update apps set locked_by = ? where id = ?', by, app.id),

    setMaintenance: (app: App, page: string | null) =>
      run('update apps set maintenance = ? where id = ?', page, app.id),

    setBuilder: (app: App, builder: string | null) =>
      run('update apps set builder = ? where id = ?', builder, app.id),

    /** Addresses of buildpacks that the owner has set, in order. */
    buildpacks: (app: App): string[] =>
      texts(json(must(get('select buildpacks from apps where id = ?', app.id)).buildpacks)),
    setBuildpacks: (app: App, list: string[]) =>
      run('update apps set buildpacks = ? where id = ?', JSON.stringify(list), app.id),

    setLimits: (app: App, limits: AppLimits) =>
      run('update apps set limits = ? where id = ?', JSON.stringify(limits), app.id),
  }
}
