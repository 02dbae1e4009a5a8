import { diskFull, Failure, isDiskFull } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import type { App, Say } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import type { Build, BuildStatus } from '../store/nouns.ts'
import { shownUrls } from '../apps/urls.ts'

export type Recording = {
  say: Say
  signal: AbortSignal
  /** When the app's turn has come. */
  begin: () => void
}

/**
 * Runs `work` as a build of the app: it has a number, can be seen and cancelled by others, and what
 * it says is kept in the app's log. A reason that it returns means that nothing was deployed.
 */
export async function recordedBuild(
  daemon: Daemon,
  app: App,
  about: { commit: string; by: string; say: Say; signal: AbortSignal },
  work: (recording: Recording) => Promise<void | { cancelled: string }>,
): Promise<void> {
  const build = daemon.store.createBuild(app, about.commit, about.by)
  const record = recorder(daemon, app, build, about.say)
  using running = daemon.builds.enter(build.id, about.signal)
  const { signal } = running
  try {
    const begin = () => void daemon.store.setBuild(build, 'running')
    const outcome = await work({ say: record, signal, begin })
    if (outcome) return endBuild(daemon, build, 'cancelled', outcome.cancelled)
    endBuild(daemon, build, 'succeeded')
  } catch (error) {
    const message = shortly(error)
    endBuild(daemon, build, signal.aborted ? 'cancelled' : 'failed', message)
    record(` !     Not deployed: ${message}`, 'log only')
    throw error
  }
  record('=====> Application deployed:')
  const urls = await shownUrls(daemon, app, about.say)
  const isWeb = daemon.store.currentRelease(app.name)?.image.processes.web !== undefined
  for (const url of isWeb ? urls : ['no web process, so no URL']) record(`       ${url}`)
}

/** What a build's row says of an error. */
function shortly(error: unknown): string {
  if (error instanceof Failure) return error.message
  return isDiskFull(error) ? diskFull().message : 'Internal error'
}

/** The deploy has ended by now, well or not, whether or not the disk has room to tell it. */
function endBuild(daemon: Daemon, build: Build, status: BuildStatus, message?: string): void {
  try {
    daemon.store.setBuild(build, status, message)
  } catch (error) {
    logError('build-unrecorded', error, { build: build.id, status })
  }
}

/** Says a line to whoever waits and keeps it in the app's log as `build.N`. */
function recorder(daemon: Daemon, app: App, build: Build, say: Say) {
  const source = { process: `build.${build.number}`, release: 0 }
  return (line: string, only?: 'log only'): void => {
    daemon.journal.write(app.name, source, line)
    if (!only) say(line)
  }
}
