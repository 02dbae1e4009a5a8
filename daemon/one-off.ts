import type { Exit, Release } from '../core/types.ts'
import { runAttached } from '../runner/run.ts'
import type { Session } from './commands/command.ts'
import type { Daemon } from './daemon.ts'
import { instanceSpec } from './processes.ts'
import { storageMounts } from './storage.ts'

/** Containers that run one command and are gone. */

const runTimeoutMs = 24 * 60 * 60 * 1000

/** Joins the client's streams to a new container; it dies with the connection. */
export async function runOneOff(
  daemon: Daemon,
  release: Release,
  { argv, env, session }: { argv: string[]; env: Record<string, string>; session: Session },
): Promise<Exit> {
  using placed = daemon.fleet.place()
  const spec = instanceSpec(release, nextRunName(), placed, argv)
  const mounts = storageMounts(daemon.config, release)
  return runAttached(
    daemon.host,
    { ...spec, kind: 'run', env: { ...spec.env, ...env }, mounts },
    {
      stdin: session.stdin,
      stdout: session.stdout,
      stderr: session.stderr,
      signal: session.signal,
      timeoutMs: runTimeoutMs,
    },
  )
}

let runs = 0

function nextRunName(): string {
  runs += 1
  return `run.${runs}`
}
