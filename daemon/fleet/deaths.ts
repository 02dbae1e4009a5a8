import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import { signalOf } from '../../core/processes.ts'
import type { Exit, Instance } from '../../core/types.ts'
import { tailLogs } from '../../runner/logs.ts'
import type { Daemon } from '../daemon.ts'
import { maskerOf } from '../mask.ts'
import { processConfig, processType } from './processes.ts'
import type { Death } from '../store/nouns.ts'

/** Why processes died: told from what was seen, and kept for `ps:why`. */

/** What there is to go by: how it ended, or the check that it failed while it ran. */
export type Seen = { exit?: Exit | undefined; failed?: string }

type Told = Pick<Death, 'cause' | 'code' | 'memory' | 'text'>

const linesKept = 20

/** Keeps a death with its last words; the log may go on to forget them. Never throws. */
export async function recordDeath(daemon: Daemon, dead: Instance, seen: Seen): Promise<void> {
  const { config, store } = daemon
  try {
    const { lines } = await tailLogs(paths(config).logs(dead.app), {
      lines: linesKept,
      id: dead.id,
    })
    const app = store.findApp(daemon.renames.get(dead.app) ?? dead.app)
    if (!app) return
    const release = store.releases(app).find(({ version }) => version === dead.release)
    const mask = maskerOf({ ...store.effectiveConfig(app), ...(release && processConfig(release)) })
    const told = tell(seen)
    const death = store.addDeath(app, {
      at: seen.exit?.at ?? new Date().toISOString(),
      process: dead.process,
      release: dead.release,
      container: dead.id,
      lines: lines.map(({ text }) => mask(text)),
      ...told,
      text: mask(told.text),
    })
    daemon.metrics.died(dead, death.cause)
    if (!isWorthTelling(death.times)) return
    const often = death.times === 1 ? '' : `, for the ${death.times}th time in v${dead.release}`
    const text = `${dead.process} ${death.text}${often}`
    store.addEvent(app, { kind: 'death', by: 'paas', release: dead.release, text })
  } catch (error) {
    logError('death-unrecorded', error, { app: dead.app, process: dead.process })
  }
}

/** The first, the tenth, the hundredth: a crash loop must not push all else out of the events. */
function isWorthTelling(times: number): boolean {
  return Number.isInteger(Math.log10(times))
}

/** Pure: the cause, and the end of a sentence that begins with the process. */
export function tell({ exit, failed }: Seen): Told {
  const memory = exit?.memory ?? null
  const code = exit?.code ?? null
  if (exit?.oom) {
    const size = memory
      ? `: killed at its limit of ${mebibytes(memory.limitBytes)} (peak ${mebibytes(memory.peakBytes)})`
      : ''
    return { cause: 'memory', code, memory, text: `ran out of memory${size}` }
  }
  const signal = exit && signalOf(exit.code)
  if (signal) return { cause: 'signal', code, memory, text: `was killed by signal ${signal}` }
  if (exit) return { cause: 'exit', code, memory, text: `exited with code ${exit.code}` }
  return { cause: 'check', code, memory, text: `failed its check: ${failed ?? 'not told'}` }
}

/**
 * Pure: the release that brought a cause of death. It goes back from the death's own release as
 * long as the release before had died of the same. `versions` are those that served.
 */
export function broughtBy(death: Death, deaths: Death[], versions: number[]): number {
  const same = (version: number) =>
    deaths.some(
      (other) =>
        other.release === version &&
        other.cause === death.cause &&
        other.code === death.code &&
        processType(other.process) === processType(death.process),
    )
  let first = death.release
  const earlier = versions.filter((version) => version < first).sort((a, b) => b - a)
  for (const version of earlier) {
    if (!same(version)) break
    first = version
  }
  return first
}

export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`
}
