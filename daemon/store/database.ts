import { chmodSync, existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { migrate } from './migrate.ts'
import type { Row } from './rows.ts'

type Value = string | number | null

/**
 * The open database with the few calls that the store's files need. Statements are kept prepared.
 */
export type Database = ReturnType<typeof openDatabase>

export function openDatabase(path: string) {
  migrate(path)
  // It holds the config of every app. SQLite gives its side files the mode of the database.
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) chmodSync(path + suffix, 0o600)
  }
  const db = new DatabaseSync(path)
  db.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
  const statements = new Map<string, ReturnType<DatabaseSync['prepare']>>()
  const prepare = (sql: string) => {
    const statement = statements.get(sql) ?? db.prepare(sql)
    statements.set(sql, statement)
    return statement
  }
  return {
    all: (sql: string, ...values: Value[]): Row[] => prepare(sql).all(...values),
    /** A write that returns its row is read to its end: only there it tells of a full disk. */
    get: (sql: string, ...values: Value[]): Row | undefined =>
      / returning /.test(sql) ? prepare(sql).all(...values)[0] : prepare(sql).get(...values),
    /** The number of rows changed. */
    run: (sql: string, ...values: Value[]): number => Number(prepare(sql).run(...values).changes),
    /** Statements without values or results. */
    exec: (sql: string) => db.exec(sql),
    transaction<T>(work: () => T): T {
      db.exec('begin immediate')
      try {
        const result = work()
        db.exec('commit')
        return result
      } catch (error) {
        if (db.isTransaction) db.exec('rollback') // a full disk has ended it already
        throw error
      }
    },
    close: () => db.close(),
  }
}

export const now = () => new Date().toISOString()
