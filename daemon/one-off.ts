import { Failure } from '../core/errors.ts'
import type { Exit, Release, Say } from '../core/types.ts'
import { runAttached } from '../runner/run.ts'
import type { Session } from './commands/command.ts'
import type { Daemon } from './daemon.ts'
import { maskerOf } from './mask.ts'
import { instanceSpec, processConfig, shellArgv } from './processes.ts'

/** Containers that run one command and are gone: `run`, and the release phase of a deploy. */

const runTimeoutMs = 24 * 60 * 60 * 1000
const releaseTimeoutMs = 10 * 60 * 1000

/** Joins the client's streams to a new container; it dies with the connection. */
export async function runOneOff(
  daemon: Daemon,
  release: Release,
  { argv, env, session }: { argv: string[]; env: Record<string, string>; session: Session },
): Promise<Exit> {
  using placed = daemon.fleet.place()
  const spec = instanceSpec(release, nextRunName(), placed, argv)
  return runAttached(
    daemon.host,
    { ...spec, kind: 'run', env: { ...spec.env, ...env } },
    {
      stdin: session.stdin,
      stdout: session.stdout,
      stderr: session.stderr,
      signal: session.signal,
      timeoutMs: runTimeoutMs,
    },
  )
}

/** Runs the `release:` command of the Procfile in the new image; its failure fails the deploy. */
export async function runReleasePhase(
  daemon: Daemon,
  release: Release,
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  const command = release.image.processes.release
  if (command === undefined) return
  say(`-----> Release phase: ${command}`)
  using placed = daemon.fleet.place()
  const spec = instanceSpec(release, 'release.1', placed, shellArgv(command))
  const mask = maskerOf(processConfig(release))
  const source = { process: 'release.1', release: release.version }
  const exit = await runAttached(
    daemon.host,
    { ...spec, kind: 'run' },
    {
      onLine: (printed) => {
        const line = mask(printed)
        say(`       ${line}`)
        daemon.journal.write(release.app, source, line)
      },
      signal,
      timeoutMs: releaseTimeoutMs,
    },
  )
  if (exit.code === 0) return
  const why = exit.oom ? 'ran out of memory' : `exited with code ${exit.code}`
  throw new Failure('failed', `The release phase ${why}: ${command}`, {
    hint: 'The old release keeps serving; mend the command and push again',
  })
}

let runs = 0

function nextRunName(): string {
  runs += 1
  return `run.${runs}`
}
