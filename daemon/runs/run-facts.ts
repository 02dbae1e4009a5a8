import { limits } from '../../core/config.ts'
import type { Release } from '../../core/types.ts'
import type { Run } from '../store/runs.ts'

/** What a one-off is known by. Pure. */

/** A one-off container that runs now. `stop` ends it; `ended` resolves when nothing is left. */
export type Active = Pick<
  Run,
  'id' | 'app' | 'process' | 'release' | 'command' | 'by' | 'layers' | 'startedAt' | 'deadlineAt'
> & {
  detached: boolean
  /** Row id of the cron job it is of. */
  jobId: number | null
  stop: (reason: string) => void
  ended: Promise<void>
}

export type Wish = {
  argv: string[]
  env: Record<string, string>
  /** As the user typed it. */
  command: string
  ttlMs: number
  by: string
}

/** What a run is known by before it has begun. */
export function facts(
  release: Pick<Release, 'app' | 'version'>,
  wish: Wish,
  named: { id: string; process: string; layers: string[] },
) {
  const startedAt = new Date()
  return {
    ...named,
    app: release.app,
    release: release.version,
    command: wish.command.slice(0, limits.runCommandCharacters),
    by: wish.by,
    startedAt: startedAt.toISOString(),
    deadlineAt: new Date(startedAt.getTime() + wish.ttlMs).toISOString(),
  }
}

/** Content keys of the layers of a release. */
export function layersOf({ image }: Release): string[] {
  return image.layers.map(({ key }) => key)
}
