import { DatabaseSync } from 'node:sqlite'
import { paths } from '../../core/names.ts'
import type { Paas } from '../system/instance.ts'

/** Directories of the layers that the app "shop" runs on, lowest first, read from the state. */
export async function layerPaths({ config }: Paas): Promise<string[]> {
  using db = new DatabaseSync(paths(config).database, { readOnly: true })
  const sql = `select image from releases join apps on current_release = releases.id where name = 'shop'`
  const { layers } = JSON.parse(String(db.prepare(sql).get()?.image))
  return layers.map(paths(config).layer)
}
