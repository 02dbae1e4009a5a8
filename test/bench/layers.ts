import { DatabaseSync } from 'node:sqlite'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import type { Paas } from '../system/instance.ts'

/** Directories of the layers that the app "shop" runs on, lowest first, read from the state. */
export async function layerPaths(paas: Paas): Promise<string[]> {
  return layersOf(paas).map(paths(paas.config).layer)
}

export function layersOf({ config }: Paas): Layer[] {
  using db = new DatabaseSync(paths(config).database, { readOnly: true })
  const sql = `select image from releases join apps on current_release = releases.id where name = 'shop'`
  const { layers } = JSON.parse(String(db.prepare(sql).get()?.image))
  return layers
}
