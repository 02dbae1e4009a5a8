import { limits } from '../../core/config.ts'
import type { Exit, Instance, Release } from '../../core/types.ts'
import type { AttachedIo } from '../../runner/attach.ts'
import { enterInstance } from '../../runner/enter.ts'
import { runAttached } from '../../runner/run.ts'
import type { Session } from '../commands/command.ts'
import type { Daemon } from '../daemon.ts'
import { instanceSpec, lookedUp } from '../fleet/processes.ts'
import { storageMounts } from '../disk/storage.ts'
import type { Wish } from './run-facts.ts'

/** Containers that run one command and are gone. */

/** Joins the client's streams to a new container; it dies with the connection. */
export async function runOneOff(
  daemon: Daemon,
  release: Release,
  wish: Wish,
  session: Session,
): Promise<Exit> {
  return daemon.runs.attached(release, wish, ({ process, ...place }, stop) => {
    const argv = lookedUp(release.image, wish.argv, { terminal: session.tty !== null })
    const spec = instanceSpec(release, process, place, argv)
    const env = { ...spec.env, ...terminalEnv(session), ...wish.env }
    const io = ioOf(session, { stop, timeoutMs: wish.ttlMs })
    const mounts = storageMounts(daemon.config, release)
    return runAttached(daemon.host, { ...spec, kind: 'run', env, mounts }, io)
  })
}

/** Runs a program in a process that runs already, as that process is; with the connection's end. */
export async function enterProcess(
  daemon: Daemon,
  instance: Instance,
  argv: string[],
  session: Session,
): Promise<number> {
  const io = ioOf(session, { timeoutMs: limits.runTtlMs })
  return enterInstance(daemon.host, instance, { argv, env: terminalEnv(session) }, io)
}

/** The client's streams, and its terminal where there is one, which then belongs to the program. */
function ioOf(session: Session, until: { stop?: AbortSignal; timeoutMs: number }): AttachedIo {
  const { stdin, stdout, stderr, tty } = session
  const signal = until.stop ? AbortSignal.any([session.signal, until.stop]) : session.signal
  const common = { stdin, stdout, signal, timeoutMs: until.timeoutMs }
  if (!tty) return { ...common, stderr }
  tty.setRaw()
  return { ...common, terminal: tty }
}

function terminalEnv({ tty }: Session): Record<string, string> {
  return tty ? { TERM: tty.term } : {}
}
