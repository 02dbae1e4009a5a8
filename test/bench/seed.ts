import { cp, mkdir, writeFile } from 'node:fs/promises'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { paths } from '../../core/names.ts'
import type { Paas } from '../system/instance.ts'

/**
 * Fills the store of an instance as years of use would: `count` apps that are copies of `shop`, its
 * releases, builds and events included, stopped for want of memory; a third has domains of its own.
 * Each has a repository, logs, and an app layer of its own on disk. The daemon starts anew with it.
 */
export async function seedApps(paas: Paas, count: number): Promise<void> {
  await paas.killDaemon('SIGTERM')
  const names = Array.from({ length: count }, (_, index) => `app-${index + 1}`)
  const keys = seedStore(paths(paas.config).database, names)
  const at = paths(paas.config)
  for (const name of names) {
    await cp(at.repo('shop'), at.repo(name), { recursive: true })
    await cp(at.logs('shop'), at.logs(name), { recursive: true })
  }
  for (const key of keys) {
    const dir = at.layer({ kind: 'app', key })
    await mkdir(dir, { recursive: true })
    await writeFile(`${dir}.from`, '')
  }
  await paas.startDaemon()
}

type Row = Record<string, SQLInputValue>

/** Returns the keys of the app layers that the copies' releases name. */
function seedStore(path: string, names: string[]): string[] {
  using db = new DatabaseSync(path)
  const rows = (table: string, where: string) =>
    db.prepare(`select * from ${table} where ${where}`).all() as Row[]
  const insert = (table: string, { id: _id, ...row }: Row) => {
    const columns = Object.keys(row)
    const marks = columns.map(() => '?').join(', ')
    const sql = `insert into ${table} (${columns.join(', ')}) values (${marks}) returning rowid as id`
    return Number(db.prepare(sql).get(...Object.values(row))?.id)
  }
  const [shop = {}] = rows('apps', `name = 'shop'`)
  const tables = ['releases', 'builds', 'events', 'deaths'].map((table) => ({
    table,
    copies: rows(table, `app_id = ${Number(shop.id)}`),
  }))
  const keys: string[] = []
  db.exec('begin')
  for (const [index, name] of names.entries()) {
    const idle = { formation: '{"web":0}', stopped: '{"web":1}' }
    const app = insert('apps', { ...shop, ...idle, name, current_release: null })
    let current = 0
    for (const { table, copies } of tables) {
      for (const copy of copies) {
        const own =
          table === 'releases'
            ? ownLayer(copy, `${String(index).padStart(6, '0')}-${copy.version}`, keys)
            : copy
        const id = insert(table, { ...own, app_id: app })
        if (copy.id === shop.current_release && table === 'releases') current = id
      }
    }
    db.prepare('update apps set current_release = ? where id = ?').run(current, app)
    const domains = index % 3 === 0 ? [`${name}.example.com`, `www.${name}.example.com`] : []
    for (const host of domains) {
      insert('domains', { host, app_id: app, created_at: String(shop.created_at) })
    }
  }
  const size = db.prepare('insert into sizes (name, bytes, at) values (?, ?, ?)')
  for (const key of keys) size.run(`layer ${key}`, 4096, String(shop.created_at))
  db.exec('commit')
  return keys
}

/** The release with an app layer that no other app has. */
function ownLayer(release: Row, mark: string, keys: string[]): Row {
  const image = JSON.parse(String(release.image))
  for (const layer of image.layers) {
    if (layer.kind !== 'app') continue
    layer.key = `${layer.key.slice(0, -mark.length)}${mark}`
    keys.push(layer.key)
  }
  return { ...release, image: JSON.stringify(image) }
}
