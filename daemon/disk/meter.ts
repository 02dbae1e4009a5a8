import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { listLayers } from '../../builder/layers/ledger.ts'
import { listSharedLayers } from '../../builder/layers/shared.ts'
import type { PaasConfig } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import type { Daemon } from '../daemon.ts'
import type { LayerUse } from '../store/disk.ts'
import type { Facts } from './disk-report.ts'
import { measureDirectories } from './disk-usage.ts'

/** Measures what lies on the disk and keeps the sizes in the store. */

type Books = Pick<Daemon, 'config' | 'store'>

/** A directory, and the name its size is kept under. */
type Place = { name: string; dir: string }

const freshMs = 60_000

/**
 * Measures the layers that are new, and what else these apps have. Looks at nothing of all the
 * other apps: it comes after each deploy.
 */
export async function measure({ config, store }: Books, apps: string[]): Promise<void> {
  const trees = store.layerUses(apps).filter(({ kind }) => kind === 'app')
  const treeKeys = new Set(trees.map(({ key }) => key))
  const here = [...listLayers(config).keys(), ...(await listSharedLayers(config))]
  const fresh = store.unmeasured(here.map((key) => `layer ${key}`))
  const once = fresh.map((name) => name.slice('layer '.length)).filter((key) => !treeKeys.has(key))
  const places = (keys: Iterable<string>) => [...keys].map((key) => layerPlace(config, key))
  await measurePlaces(store, places(once))
  // The trees of an app share their unchanged files, so their sizes make sense together only:
  // what several have counts for the oldest.
  for (const own of Map.groupBy(trees, (use) => use.app).values()) {
    await measurePlaces(store, places(new Set(own.map(({ key }) => key))))
  }
  await measurePlaces(
    store,
    apps.flatMap((app) => appPlaces(config, app)),
  )
}

/** Measures what grows by itself too, wherever the last measure is old; forgets what is gone. */
export async function measureAll(books: Books): Promise<void> {
  const { config, store } = books
  const { uses, layers, sizes } = await readFacts(books)
  const isNew = ({ kind, key }: LayerUse) => kind === 'app' && !sizes.has(`layer ${key}`)
  await measure(books, [...new Set(uses.filter(isNew).map(({ app }) => app))])
  const known = store.sizes()
  const isOld = ({ name }: Place) => {
    const at = known.get(name)?.at
    return at === undefined || Date.now() - Date.parse(at) > freshMs
  }
  const grows = [
    ...store.apps().flatMap(({ name }) => appPlaces(config, name)),
    ...store.storages().map((name) => storagePlace(config, name)),
  ]
  await measurePlaces(store, grows.filter(isOld))
  const here = new Set([
    ...[...layers.keys()].map((key) => `layer ${key}`),
    ...grows.map(({ name }) => name),
  ])
  store.forgetSizes([...known.keys()].filter((name) => !here.has(name)))
}

/** Forgets the sizes of layers and apps that are gone. */
export function forget(
  { config, store }: Books,
  { layers, apps }: { layers: string[]; apps: string[] },
): void {
  store.forgetSizes([
    ...layers.map((key) => `layer ${key}`),
    ...apps.flatMap((app) => appPlaces(config, app).map(({ name }) => name)),
  ])
}

/** All that the ledger is made of. */
export async function readFacts({ config, store }: Books): Promise<Facts> {
  const layers: Facts['layers'] = new Map()
  for (const [key, madeFrom] of listLayers(config)) {
    layers.set(key, { madeFrom, shared: false })
  }
  for (const key of await listSharedLayers(config)) layers.set(key, { madeFrom: [], shared: true })
  return {
    ...(await space(config)),
    apps: store.apps().map(({ name }) => name),
    storages: store.storages(),
    uses: store.layerUses(),
    sizes: store.sizes(),
    layers,
  }
}

/** Of the file system that the state lies on; free for those who are not root. */
export async function space({ home }: PaasConfig): Promise<{ free: number; total: number }> {
  const { bavail, blocks, bsize } = await statfs(home)
  return { free: bavail * bsize, total: blocks * bsize }
}

async function measurePlaces(store: Books['store'], places: Place[]): Promise<void> {
  if (places.length === 0) return
  const bytes = await measureDirectories(places.map(({ dir }) => dir))
  store.setSizes(new Map(places.map(({ name, dir }) => [name, bytes.get(dir) ?? 0])))
}

function layerPlace(config: PaasConfig, key: string): Place {
  const { layers, sharedLayers } = paths(config)
  const own = join(layers, key)
  return { name: `layer ${key}`, dir: existsSync(own) ? own : join(sharedLayers, key) }
}

function appPlaces(config: PaasConfig, app: string): Place[] {
  const { buildCache, dockerCache, logs, repo } = paths(config)
  return [
    { name: `cache ${app}`, dir: buildCache(app) },
    { name: `docker ${app}`, dir: dockerCache(app) },
    { name: `logs ${app}`, dir: logs(app) },
    { name: `repo ${app}`, dir: repo(app) },
  ]
}

function storagePlace(config: PaasConfig, storage: string): Place {
  return { name: `storage ${storage}`, dir: paths(config).storage(storage) }
}
