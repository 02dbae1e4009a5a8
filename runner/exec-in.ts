import { join } from 'node:path'
import { newId, paths } from '../core/names.ts'
import { errno } from '../core/errors.ts'
import { exec, type ExecResult } from '../core/exec.ts'
import type { Host } from './host.ts'
import { pidIn } from './processes.ts'
import { rootArguments } from './runtime.ts'
import { rm } from 'node:fs/promises'

const everyCode = Array.from({ length: 256 }, (_, code) => code)

/**
 * Runs a program inside a running container, as its user, with its environment and without a
 * terminal. Any exit code is an answer; a Failure is a deadline or an abort, and then the program
 * and whoever it started are killed.
 */
export async function execInside(
  host: Host,
  id: string,
  argv: string[],
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<ExecResult> {
  const pidFile = join(paths(host.config).bundle(id), `exec-${newId()}.pid`)
  const args = [...rootArguments(host), 'exec', '--pid-file', pidFile, id, ...argv]
  try {
    return await exec(host.programs.runc, args, { ...options, accept: everyCode, killRest: true })
  } finally {
    killSession(pidIn(pidFile))
    await rm(pidFile, { force: true })
  }
}

/** The program leads a session of its own, in which its children outlive the runtime's client. */
function killSession(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (errno(error) !== 'ESRCH') throw error
  }
}
