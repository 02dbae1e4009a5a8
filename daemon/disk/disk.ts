import { setTimeout as after } from 'node:timers/promises'
import { Failure } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { type DiskReport, largestUsers, ledger, showBytes } from './disk-report.ts'
import { forget, measure, measureAll, readFacts, space } from './meter.ts'

/**
 * What takes the disk. A layer is measured once, after the deploy that made it; what grows is
 * measured after each deploy of its app, and when somebody asks.
 */
export type Disk = ReturnType<typeof openDisk>

/** How long somebody who asks waits for what has not been measured yet. */
const askTimeoutMs = 2000

export function openDisk(books: Pick<Daemon, 'config' | 'store'>) {
  let refreshing: Promise<void> | undefined

  async function refresh(): Promise<void> {
    try {
      await measureAll(books)
    } catch (error) {
      logError('measure-failed', error)
    } finally {
      refreshing = undefined
    }
  }

  return {
    /** Measures what a change of these apps brought. */
    measure: (apps: string[]) => measure(books, apps),

    /** Forgets the sizes of what is gone: layers by their keys, apps by their names. */
    forget: (gone: { layers: string[]; apps: string[] }) => forget(books, gone),

    /** All that is known. What cannot be measured in time stands as it was measured last. */
    async report(): Promise<DiskReport> {
      refreshing ??= refresh()
      await Promise.race([refreshing, after(askTimeoutMs, undefined, { ref: false })])
      return ledger(await readFacts(books))
    },

    requireRoom: (app: App) => requireRoom(books, app),
  }
}

/** Throws a Failure that names the largest users when a build of the app might not fit. */
async function requireRoom(books: Pick<Daemon, 'config' | 'store'>, app: App): Promise<void> {
  const { minFreeBytes } = books.config
  const { free, total } = await space(books.config)
  const twice = 2 * imageBytes(books, app)
  const wanted = Math.max(minFreeBytes, twice)
  if (free >= wanted) return
  const top = largestUsers(ledger(await readFacts(books)), 5)
  const why = twice > minFreeBytes ? 'twice the last image' : 'PAAS_MIN_FREE'
  const seen = `${showBytes(free)} of ${showBytes(total)} are free on the disk`
  throw new Failure('failed', `Not built: ${seen}, a build wants ${showBytes(wanted)} (${why})`, {
    hint: 'To free some: images:gc, apps:destroy, storage:destroy. What takes it all: disk',
    details: top.map(({ name, bytes }) => `${name}: ${showBytes(bytes)}`),
  })
}

/** What the running image has of its own, apart from what all apps share. */
function imageBytes({ config, store }: Pick<Daemon, 'config' | 'store'>, app: App): number {
  const { layer, sharedLayers } = paths(config)
  const layers = store.currentRelease(app.name)?.image.layers ?? []
  const own = layers.filter((one) => !layer(one).startsWith(`${sharedLayers}/`))
  const sizes = store.sizes(own.map(({ key }) => `layer ${key}`))
  return [...sizes.values()].reduce((sum, { bytes }) => sum + bytes, 0)
}
