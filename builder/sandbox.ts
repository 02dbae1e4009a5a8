import type { Layer } from '../core/types.ts'

/**
 * Runs one command isolated as apps are, with a network, on a writable layer of its own. It comes
 * from the runner; the builder knows this shape alone.
 */
export type Sandbox = (job: SandboxJob) => Promise<SandboxResult>

export type SandboxJob = {
  app: string
  /** Lowest first. */
  layers: Layer[]
  argv: string[]
  env: Record<string, string>
  user: 'app' | 'root'
  /** Whether it makes containers itself: root of its own user namespace, and of nothing else. */
  nested?: boolean
  /** Sources lie inside this instance's store. */
  mounts: { source: string; target: string; readOnly: boolean }[]
  /** Each line of output, as it comes. */
  onLine: (line: string) => void
  /** Ends everything in the sandbox. */
  signal: AbortSignal
  timeoutMs: number
}

export type SandboxResult = {
  code: number
  /** Whether the kernel ended something in it for want of memory. */
  oom: boolean
  /** What it was allowed and the most it had, where the kernel still knew. */
  memory?: { limitBytes: number; peakBytes: number } | undefined
  /** What it wrote of what it might, by directory, where the file system counts that. */
  disk?: { usedBytes: number; limitBytes: number }[]
  /** What the command wrote, as a directory that may be renamed within the store. */
  upper: string
  /** Removes what is left of it. */
  discard(): Promise<void>
}
