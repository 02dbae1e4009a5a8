import { limits } from '../../core/config.ts'
import type { App, Formation, Release } from '../../core/types.ts'
import type { ConfigStore } from './config.ts'
import { type Database, now } from './database.ts'
import { json, must, number, type Row, text, toNumbers, toRelease } from './rows.ts'
import type { Draft, ReleaseRow } from './nouns.ts'

const columns = 'releases.*, apps.name as app from releases join apps on apps.id = app_id'

const insertRelease = `insert into releases (app_id, version, status, git_commit, image, config,
    globals, formation, limits, mounts, cause, by, created_at) values (?1, (select
    coalesce(max(version), 0) + 1 from releases where app_id = ?1), 'starting', ?2, ?3, ?4, ?5,
    ?6, ?7, ?8, ?9, ?10, ?11) returning id`

const forgetOldest = `delete from releases where app_id = ?1 and version < (select min(version)
  from (select version from releases where app_id = ?1 and status = 'live'
    order by version desc limit ?2))`

const keepAsItRan = `update releases set formation = ?, limits =
  (select apps.limits from apps where apps.id = app_id)
  where id = (select current_release from apps where id = ?)`

const scaleAndName = 'update apps set formation = ?, name = coalesce(?, name) where id = ?'

const forgetFailed = `delete from releases where status = 'failed' and id not in
  (select id from releases where status = 'failed' order by id desc limit ?)`

/** What runs is stopped no more. */
const forgetStarted = `update apps set stopped = (select json_group_object(key, value)
  from json_each(apps.stopped) where coalesce(apps.formation ->> key, 0) = 0) where id = ?`

const toJson = (part: unknown): string => JSON.stringify(part)

export function releaseStore({ all, get, run, transaction }: Database, secrets: ConfigStore) {
  const read = (row: Row): ReleaseRow => toRelease(row, secrets.unsealed)
  const release = (id: number): ReleaseRow =>
    read(must(get(`select ${columns} where releases.id = ?`, id)))

  return {
    release,

    /** Newest first. */
    releases: (app: App): ReleaseRow[] =>
      all(`select ${columns} where app_id = ? order by version desc`, app.id).map(read),

    /** As it runs: formation and limits may have changed since it was made, without a new one. */
    currentRelease(app: string): ReleaseRow | undefined {
      const row = get(
        `select apps.formation as formation_now, apps.limits as limits_now, ${columns}
          where apps.name = ? and releases.id = current_release`,
        app,
      )
      return (
        row && read({ ...row, formation: text(row.formation_now), limits: text(row.limits_now) })
      )
    },

    /** Writes a release that is about to start. It becomes real with `commitRelease`. */
    createRelease(app: App, draft: Draft, about: { cause: string; by: string }): Release {
      const { image, config, formation, mounts, globals = secrets.globalConfig() } = draft
      const sealed = [config, globals].map(secrets.sealed)
      const [whole, ...rest] = [image, formation, draft.limits, mounts].map(toJson)
      const parts = [whole ?? '', ...sealed, ...rest]
      const more = [about.cause.slice(0, 200), about.by, now()]
      return release(number(must(get(insertRelease, app.id, draft.commit, ...parts, ...more)).id))
    },

    /**
     * The one row that makes a release the app's own. What config and formation the app has from
     * here on goes with it, and the releases too old to roll back to are forgotten. For the current
     * release it is only the formation: config set with --no-restart still waits for its release.
     * With a `name` the app is called so from here on.
     */
    commitRelease: ({ id, config, formation, limits: caps, mounts }: Release, name?: string) =>
      transaction(() => {
        const app = number(must(get('select app_id from releases where id = ?', id)).app_id)
        run(keepAsItRan, toJson(asItRan(get, app)), app)
        run(scaleAndName, toJson(formation), name ?? null, app)
        run(forgetStarted, app)
        if (get('select 1 from apps where id = ? and current_release = ?', app, id)) return
        run(`update releases set status = 'live' where id = ?`, id)
        run(
          'update apps set current_release = ?, config = ?, limits = ?, mounts = ? where id = ?',
          id,
          secrets.sealed(config),
          JSON.stringify(caps),
          JSON.stringify(mounts),
          app,
        )
        run(forgetOldest, app, limits.releasesKept)
      }),

    /**
     * Marks a release that never served as failed; one that did is left alone. It stays in the
     * list, so that its logs can be found by its number.
     */
    abandonRelease: ({ id }: Release): void =>
      transaction(() => {
        run(`update releases set status = 'failed' where id = ? and status = 'starting'`, id)
        run(forgetFailed, limits.failedReleasesKept)
      }),
  }
}

/**
 * What is rolled back to is a release as it last ran, scaled and limited since it was made; of what
 * was stopped it has what ran before, or it would come back as one that does nothing.
 */
function asItRan(get: Database['get'], app: number): Formation {
  const row = must(get('select formation, stopped from apps where id = ?', app))
  const formation = toNumbers(json(row.formation))
  const away = Object.entries(toNumbers(json(row.stopped))).filter(([type]) => {
    return formation[type] === 0
  })
  return { ...formation, ...Object.fromEntries(away) }
}
