import { closeSync, existsSync, fsyncSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const migrations = join(import.meta.dirname, 'migrations')

/**
 * Brings the database file at `path` to the newest schema. The work happens on a copy that is
 * renamed over the original at the end, so a kill at any moment leaves the old file or the new one.
 */
export function migrate(path: string): void {
  const files = readdirSync(migrations).filter((name) => /^\d+_.*\.sql$/.test(name))
  files.sort()
  const from = existsSync(path) ? versionOf(path) : 0
  if (from === files.length) return
  if (from > files.length) {
    throw new Error(`${path} is of a newer paas (schema ${from}, this one knows ${files.length})`)
  }
  const copy = `${path}.migrating`
  removeDatabase(copy)
  closeSync(openSync(copy, 'w', 0o600)) // before anything is in it
  if (from > 0) copyDatabase(path, copy)
  const db = new DatabaseSync(copy)
  for (const [index, file] of files.entries()) {
    if (index < from) continue
    const sql = readFileSync(join(migrations, file), 'utf8')
    db.exec(`begin; ${sql}; pragma user_version = ${index + 1}; commit`)
  }
  db.close()
  sync(copy)
  // The original's write-ahead log belongs to the original: it must not meet the new file.
  rmSync(`${path}-wal`, { force: true })
  rmSync(`${path}-shm`, { force: true })
  renameSync(copy, path)
  sync(dirname(path))
}

function versionOf(path: string): number {
  const db = new DatabaseSync(path)
  const row = db.prepare('pragma user_version').get()
  db.close() // the last connection to close moves the write-ahead log into the file
  return Number(row?.user_version ?? 0)
}

function copyDatabase(from: string, to: string): void {
  const db = new DatabaseSync(from)
  db.prepare('vacuum into ?').run(to)
  db.close()
}

function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true })
}

function sync(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
