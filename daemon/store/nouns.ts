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

/** Something done to an app, or to the host, and by whom: `paas` when nobody asked for it. */
export type AppEvent = {
  at: string
  /** `changed`, `change-failed`, `config`, `domains`, `death` and the like. */
  kind: string
  by: string
  release: number | null
  text: string
}

/** One end of a process that should have gone on. */
export type Death = {
  at: string
  process: string
  release: number
  /** Id of the container, by which its log lines are found. */
  container: string
  cause: 'memory' | 'exit' | 'signal' | 'check'
  /** Exit status, 128 + n for signal n; null when a check failed and it still ran. */
  code: number | null
  memory: { limitBytes: number; peakBytes: number } | null
  /** What was seen, as the end of a sentence about the process. */
  text: string
  /** How often this process had died in this release by then. */
  times: number
  /** The last that it logged, oldest first. */
  lines: string[]
}

export type ReleaseStatus = 'starting' | 'live' | 'failed'
/** `error`: why it failed. */
export type ReleaseRow = Release & { status: ReleaseStatus; error: string | null }
export type Draft = Pick<
  Release,
  'commit' | 'image' | 'config' | 'globals' | 'formation' | 'limits' | 'mounts'
>

/** `disabled`: the old stops before the new starts. `skipped`: nobody waits for the new. */
export type CheckMode = 'enabled' | 'disabled' | 'skipped'

/** What an app has instead of the instance's own times; modes are by process type, `*` for all. */
export type CheckSettings = {
  timeoutMs?: number
  drainMs?: number
  graceMs?: number
  modes: Record<string, CheckMode>
}
