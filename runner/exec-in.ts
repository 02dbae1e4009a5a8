import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { newId, paths } from '../core/names.ts'
import { exec, type ExecResult } from '../core/exec.ts'
import { sendSignal } from '../core/processes.ts'
import type { Host } from './host.ts'
import { pidIn } from './processes.ts'
import { rootArguments } from './runtime.ts'
import { rm } from 'node:fs/promises'

const everyCode = Array.from({ length: 256 }, (_, code) => code)
const startMs = 10_000

/**
 * Runs a program inside a running container, as its user, with its environment and without a
 * terminal. Any exit code is an answer; a Failure is a deadline or an abort, and then the program
 * and whoever it started are killed.
 */
export async function execInside(
  host: Host,
  id: string,
  argv: string[],
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<ExecResult> {
  const pidFile = join(paths(host.config).bundle(id), `exec-${newId()}.pid`)
  const args = [...rootArguments(host), 'exec', '--pid-file', pidFile, id, ...argv]
  const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const client = new AbortController()
  const stop = async () => {
    // Killed before it tells which process it has made, the client would leave that one for ever.
    const patience = Date.now() + startMs
    while (!client.signal.aborted && !pidIn(pidFile) && Date.now() < patience) await pause(20)
    killSession(pidIn(pidFile))
    client.abort()
  }
  const isLate = late.aborted || once(late, 'abort', { signal: client.signal })
  const stopped = Promise.resolve(isLate).then(stop, () => {})
  try {
    return await exec(host.programs.runc(), args, {
      signal: client.signal,
      timeoutMs: timeoutMs + 2 * startMs,
      accept: everyCode,
      killRest: true,
    })
  } finally {
    client.abort()
    await stopped
    killSession(pidIn(pidFile))
    await rm(pidFile, { force: true })
  }
}

/** The program leads a session of its own, in which its children outlive the runtime's client. */
function killSession(pid: number | undefined): void {
  if (pid !== undefined) sendSignal(-pid, 'SIGKILL')
}
