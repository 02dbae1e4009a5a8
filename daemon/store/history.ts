import { limits } from '../../core/config.ts'
import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import type { AppEvent, Death } from './nouns.ts'
import { json, must, number, type Row, text } from './rows.ts'

/** What happened to an app: who changed what, and which process died of what. Both are bounded. */
export function historyStore({ all, get, run, transaction }: Database) {
  return {
    /** Without an app it is the host's own. What is said of an app that is gone is dropped. */
    addEvent: (app: App | null, event: Omit<AppEvent, 'at'>): void =>
      transaction(() => {
        if (app && !get('select 1 from apps where id = ?', app.id)) return
        run(
          'insert into events (app_id, at, kind, by, release, text) values (?, ?, ?, ?, ?, ?)',
          app?.id ?? null,
          now(),
          event.kind,
          event.by,
          event.release,
          event.text.slice(0, textMost),
        )
        forgetOldest('events', app?.id ?? null, limits.eventsKept)
      }),

    /** Newest first. */
    events: (app: App | null, most: number): AppEvent[] =>
      all(
        'select * from events where app_id is ? order by id desc limit ?',
        app?.id ?? null,
        most,
      ).map(toEvent),

    /** `times` of the answer: how often it has now died of the same in this release. */
    addDeath: (app: App, death: Omit<Death, 'times'>): Death =>
      transaction(() => {
        const before = get(
          `select times from deaths where app_id = ? and process = ? and release = ?
            and cause = ? and code is ? order by id desc limit 1`,
          ...[app.id, death.process, death.release, death.cause, death.code],
        )
        const row = get(
          `insert into deaths (app_id, at, process, release, container, cause, code, memory_limit,
            memory_peak, text, times, lines) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) returning *`,
          app.id,
          death.at,
          death.process,
          death.release,
          death.container,
          death.cause,
          death.code,
          death.memory?.limitBytes ?? null,
          death.memory?.peakBytes ?? null,
          death.text.slice(0, textMost),
          number(before?.times ?? 0) + 1,
          JSON.stringify(death.lines.map((line) => line.slice(0, textMost))),
        )
        forgetOldest('deaths', app.id, limits.deathsKept)
        return toDeath(must(row))
      }),

    /** Newest first. */
    deaths: (app: App): Death[] =>
      all('select * from deaths where app_id = ? order by id desc', app.id).map(toDeath),
  }

  function forgetOldest(table: 'events' | 'deaths', app: number | null, keep: number): void {
    run(
      `delete from ${table} where app_id is ?1 and id <= (select id from ${table}
        where app_id is ?1 order by id desc limit 1 offset ?2)`,
      app,
      keep,
    )
  }
}

const textMost = 1000

function toEvent(row: Row): AppEvent {
  return {
    at: text(row.at),
    kind: text(row.kind),
    by: text(row.by),
    release: row.release === null ? null : number(row.release),
    text: text(row.text),
  }
}

function toDeath(row: Row): Death {
  const causes = ['memory', 'exit', 'signal', 'check'] as const
  const lines = json(row.lines)
  const [limit, peak] = [row.memory_limit, row.memory_peak]
  return {
    at: text(row.at),
    process: text(row.process),
    release: number(row.release),
    container: text(row.container),
    cause: causes.find((cause) => cause === row.cause) ?? 'exit',
    code: row.code === null ? null : number(row.code),
    memory:
      limit === null || peak === null
        ? null
        : { limitBytes: number(limit), peakBytes: number(peak) },
    text: text(row.text),
    times: number(row.times),
    lines: Array.isArray(lines) ? lines.map(text) : [],
  }
}
