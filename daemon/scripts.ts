import { Failure } from '../core/errors.ts'
import type { App, Release, Say } from '../core/types.ts'
import { runAttached } from '../runner/run.ts'
import type { Daemon } from './daemon.ts'
import { maskerOf } from './mask.ts'
import { tell } from './fleet/deaths.ts'
import { instanceSpec, processConfig } from './fleet/processes.ts'
import { storageMounts } from './disk/storage.ts'

/** Commands that run once per deploy, in the new image: before the switch or after it. */

/**
 * `scripts.dokku.predeploy` of app.json, then the `release:` command of the Procfile; the failure
 * of either fails the deploy.
 */
export async function runReleasePhase(
  daemon: Daemon,
  release: Release,
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  const { processes, appJson } = release.image
  const hint = 'Nothing was changed; mend the command and push again'
  const predeploy = appJson?.scripts.predeploy
  const scripts: [name: string, title: string, command: string | undefined][] = [
    ['predeploy', 'Predeploy script', predeploy],
    ['release', 'Release phase', processes.release],
  ]
  for (const [name, title, command] of scripts) {
    if (command === undefined) continue
    const failed = await runScript(daemon, { release, name, title, command }, say, signal)
    if (failed) throw new Failure('failed', failed, { hint })
  }
}

/**
 * `scripts.postdeploy` of app.json when this was the app's first deploy, then
 * `scripts.dokku.postdeploy`. What they do may not undo a switch: a failure is a warning.
 */
export async function runPostDeploy(
  daemon: Daemon,
  app: App,
  release: Release,
  say: Say,
): Promise<void> {
  const live = daemon.store.releases(app).filter(({ status }) => status === 'live')
  const isFirst = live.length === 1
  const { firstDeploy, postdeploy } = release.image.appJson?.scripts ?? {}
  const scripts: [title: string, command: string | undefined][] = [
    ['First postdeploy script', isFirst ? firstDeploy : undefined],
    ['Postdeploy script', postdeploy],
  ]
  for (const [title, command] of scripts) {
    if (command === undefined) continue
    const script = { release, name: 'postdeploy', title, command }
    // The client may go: what it asked for is done, and this is part of it.
    const failed = await runScript(daemon, script, say, new AbortController().signal)
    if (!failed) continue
    say(` !     ${failed}`)
    say(` !     ${release.app} v${release.version} serves all the same`)
  }
}

type Script = { release: Release; name: string; title: string; command: string }

/** Runs a command to its end within a deadline of its own; returns what went wrong. */
async function runScript(
  daemon: Daemon,
  { release, name, title, command }: Script,
  say: Say,
  signal: AbortSignal,
): Promise<string | undefined> {
  say(`-----> ${title}: ${command}`)
  using placed = daemon.fleet.place()
  const process = `${name}.1`
  const spec = instanceSpec(release, process, placed, ['sh', '-c', command])
  const mounts = storageMounts(daemon.config, release)
  const source = { process, release: release.version }
  const timeoutMs = daemon.config.scriptTimeoutMs
  const deadline = AbortSignal.timeout(timeoutMs)
  const mask = maskerOf(processConfig(release))
  const onLine = (printed: string) => {
    const line = mask(printed)
    say(`       ${line}`)
    daemon.journal.write(release.app, source, line)
  }
  const io = { onLine, signal: AbortSignal.any([signal, deadline]), timeoutMs: timeoutMs + 60_000 }
  const subject = `The ${title.toLowerCase()}`
  try {
    const exit = await runAttached(daemon.host, { ...spec, kind: 'run', mounts }, io)
    if (exit.code === 0) return undefined
    return `${subject} ${tell({ exit }).text}: ${command}`
  } catch (error) {
    if (signal.aborted || !(error instanceof Failure || deadline.aborted)) throw error
    if (error instanceof Failure && !deadline.aborted) return `${subject}: ${error.message}`
    return `${subject} took longer than ${timeoutMs / 1000} s: ${command}`
  }
}
