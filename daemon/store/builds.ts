import { limits } from '../../core/config.ts'
import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { must, toBuild } from './rows.ts'
import type { Build, BuildStatus } from './nouns.ts'

export function buildStore({ all, get, run }: Database) {
  return {
    createBuild(app: App, commit: string, by: string): Build {
      const sql = `insert into builds (app_id, number, status, git_commit, by, created_at) values
        (?1, (select coalesce(max(number), 0) + 1 from builds where app_id = ?1),
        'waiting', ?2, ?3, ?4) returning *`
      const build = toBuild(must(get(sql, app.id, commit, by, now())))
      const oldest = build.number - limits.buildsKept
      run('delete from builds where app_id = ? and number <= ?', app.id, oldest)
      return build
    },

    setBuild: (build: Build, status: BuildStatus, error: string | null = null) =>
      run(
        `update builds set status = ?1, error = ?2,
          started_at = coalesce(started_at, iif(?1 = 'running', ?3, null)),
          finished_at = iif(?1 = 'running', null, ?3) where id = ?4`,
        status,
        error,
        now(),
        build.id,
      ),

    /** Newest first. */
    builds: (app: App): Build[] =>
      all('select * from builds where app_id = ? order by number desc', app.id).map(toBuild),
  }
}
