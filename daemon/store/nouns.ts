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
  /** When its turn had come; null while it waits. */
  startedAt: string | null
  finishedAt: string | null
}

export type ReleaseStatus = 'starting' | 'live' | 'failed'
export type ReleaseRow = Release & { status: ReleaseStatus }
export type Draft = Pick<
  Release,
  'commit' | 'image' | 'config' | 'globals' | 'formation' | 'limits'
>
