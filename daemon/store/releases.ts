import { limits } from '../../core/config.ts'
import type { App, Release } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { must, number, optional, toRelease } from './rows.ts'
import type { Draft, ReleaseRow } from './nouns.ts'

const columns = 'releases.*, apps.name as app from releases join apps on apps.id = app_id'

const insertSql = `insert into releases
  (app_id, version, status, git_commit, image, config, formation, limits, mounts, cause, by,
  created_at) values (?1, (select coalesce(max(version), 0) + 1 from releases where app_id = ?1),
  'starting', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) returning id`

export function releaseStore({ all, get, run, transaction }: Database) {
  const release = (id: number): ReleaseRow =>
    toRelease(must(get(`select ${columns} where releases.id = ?`, id)))

  return {
    release,

    /** Newest first. */
    releases: (app: App): ReleaseRow[] =>
      all(`select ${columns} where app_id = ? order by version desc`, app.id).map(toRelease),

    currentRelease: (app: string): ReleaseRow | undefined =>
      optional(
        get(`select ${columns} where apps.name = ? and releases.id = current_release`, app),
        toRelease,
      ),

    /** Writes a release that is about to start. It becomes real with `commitRelease`. */
    createRelease(app: App, draft: Draft, about: { cause: string; by: string }): Release {
      const { image, config, formation, mounts } = draft
      const parts = [image, config, formation, draft.limits, mounts].map((part) =>
        JSON.stringify(part),
      )
      const cause = about.cause.slice(0, 200)
      return release(
        number(must(get(insertSql, app.id, draft.commit, ...parts, cause, about.by, now())).id),
      )
    },

    /**
     * The one row that makes a release the app's own. What config and formation the app has from
     * here on goes with it, and the releases too old to roll back to are forgotten.
     */
    commitRelease: ({ id, config, formation, limits: caps, mounts }: Release): void =>
      transaction(() => {
        const app = number(must(get('select app_id from releases where id = ?', id)).app_id)
        run(`update releases set status = 'live' where id = ?`, id)
        run(
          `update apps set current_release = ?, config = ?, formation = ?, limits = ?, mounts = ?
            where id = ?`,
          id,
          ...[config, formation, caps, mounts].map((part) => JSON.stringify(part)),
          app,
        )
        const oldestKept = `select min(version) from (select version from releases
          where app_id = ?1 and status = 'live' order by version desc limit ?2)`
        run(
          `delete from releases where app_id = ?1 and version < (${oldestKept})`,
          app,
          limits.releasesKept,
        )
      }),

    /**
     * Marks a release that never served as failed; one that did is left alone. It stays in the
     * list, so that its logs can be found by its number.
     */
    abandonRelease: ({ id }: Release): void =>
      transaction(() => {
        run(`update releases set status = 'failed' where id = ? and status = 'starting'`, id)
        run(
          `delete from releases where status = 'failed' and id not in (select id from releases
            where status = 'failed' order by id desc limit ?)`,
          limits.failedReleasesKept,
        )
      }),
  }
}
