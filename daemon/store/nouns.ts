import type { Release } from '../../core/types.ts'

/** What the store keeps beside the nouns that everyone knows. */

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
export type Draft = Pick<Release, 'commit' | 'image' | 'config' | 'formation' | 'limits' | 'mounts'>

/** `disabled`: the old stops before the new starts. `skipped`: nobody waits for the new. */
export type CheckMode = 'enabled' | 'disabled' | 'skipped'

/** What an app has instead of the instance's own times; modes are by process type, `*` for all. */
export type CheckSettings = {
  timeoutMs?: number
  drainMs?: number
  graceMs?: number
  modes: Record<string, CheckMode>
}
