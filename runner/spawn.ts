import type { Socket } from 'node:net'
import { once } from 'node:events'
import { Failure } from '../core/errors.ts'
import { sendSignal } from '../core/processes.ts'
import { type Program, startProgram } from '../core/spawn.ts'

export type Spawned = {
  /** What the program writes to its file descriptor 3. */
  report: Socket
  /** Resolves when the program has ended; kills it and all of its group once `signal` aborts. */
  ended: (signal: AbortSignal) => Promise<void>
}

/** Starts `file` (a full path) in a session of its own, its other streams going nowhere. */
export function spawnReporting(
  file: string,
  args: string[],
  options: { cwd: string; env: Record<string, string> },
): Spawned {
  const program = start(file, args, options)
  const report = program.streams[3] as Socket
  return { report, ended: (signal) => waitFor(program, signal) }
}

function start(file: string, args: string[], options: { cwd: string; env: NodeJS.ProcessEnv }) {
  try {
    return startProgram(file, args, {
      ...options,
      streams: ['nowhere', 'nowhere', 'nowhere', 'from it'],
    })
  } catch (error) {
    throw new Failure('failed', `Could not start ${file}: ${String(error)}`, {
      hint: 'paas doctor shows what is missing',
      cause: error,
    })
  }
}

async function waitFor(program: Program, signal: AbortSignal): Promise<void> {
  const kill = () => sendSignal(-program.pid, 'SIGKILL')
  if (program.exitCode !== null) return
  if (signal.aborted) kill()
  signal.addEventListener('abort', kill)
  try {
    await once(program, 'exit')
  } finally {
    signal.removeEventListener('abort', kill)
  }
}
