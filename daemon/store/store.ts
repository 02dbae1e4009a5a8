import type { Release } from '../../core/types.ts'
import { appStore } from './apps.ts'
import { buildStore } from './builds.ts'
import { openDatabase } from './database.ts'
import { domainStore } from './domains.ts'
import { keyStore } from './keys.ts'
import { pluginStore } from './plugins.ts'
import { releaseStore } from './releases.ts'
import { upkeepStore } from './upkeep.ts'

/** Desired state: the only room that speaks SQL. Every function of it is one transaction. */

export type Key = { name: string; fingerprint: string; algorithm: string; createdAt: string }

export type BuildStatus = 'waiting' | 'running' | 'succeeded' | 'failed' | 'cancelled'
export type Build = {
  id: number
  number: number
  status: BuildStatus
  commit: string
  error: string | null
  by: string
  createdAt: string
  finishedAt: string | null
}

export type ReleaseStatus = 'starting' | 'live' | 'failed'
export type ReleaseRow = Release & { status: ReleaseStatus }
export type Draft = Pick<Release, 'commit' | 'image' | 'config' | 'formation' | 'limits'>

export type Store = ReturnType<typeof openStore>

/** Opens the database at `path`, brought to the newest schema. */
export function openStore(path: string) {
  const db = openDatabase(path)
  return {
    ...appStore(db),
    ...releaseStore(db),
    ...buildStore(db),
    ...domainStore(db),
    ...keyStore(db),
    ...pluginStore(db),
    ...upkeepStore(db),
    close: () => db.close(),
  }
}
