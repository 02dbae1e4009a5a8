import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import koffi from 'koffi'
import { errno, Failure } from '../core/errors.ts'
import { systemError } from './kernel.ts'

/**
 * Starts a program without a copy of this process. Node forks, which for one of 130 MB costs up to
 * five milliseconds of CPU; this shares the memory until the exec.
 */

const libc = koffi.load('libc.so.6')
const cSpawn = libc.func(
  'int posix_spawn(void *pid, const char *path, void *actions, void *attributes, const char **argv, const char **env)',
)
const cActionsInit = libc.func('int posix_spawn_file_actions_init(void *actions)')
const cActionsDestroy = libc.func('int posix_spawn_file_actions_destroy(void *actions)')
const cAddOpen = libc.func(
  'int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, uint mode)',
)
const cAddDuplicate = libc.func(
  'int posix_spawn_file_actions_adddup2(void *actions, int fd, int as)',
)
const cAddDirectory = libc.func(
  'int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)',
)
const cAttributesInit = libc.func('int posix_spawnattr_init(void *attributes)')
const cSetFlags = libc.func('int posix_spawnattr_setflags(void *attributes, short flags)')
const cSetMask = libc.func('int posix_spawnattr_setsigmask(void *attributes, const void *signals)')
const cSetDefaults = libc.func(
  'int posix_spawnattr_setsigdefault(void *attributes, const void *signals)',
)
const cPipe = libc.func('int pipe2(void *ends, int flags)')
const cWait = libc.func('int waitpid(int pid, void *status, int options)')

/** More than these opaque types need on any architecture. */
const opaqueBytes = 512
const signalsBytes = 128
const flags = { defaultSignals: 0x04, signalMask: 0x08, session: 0x80 }
const readWrite = 2
const closeOnExec = 0x80000
const withoutWaiting = 1
const reportsAs = 3

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
  const env = Object.entries(options.env).map(([key, value]) => `${key}=${value}`)
  const ends = Buffer.alloc(8)
  if (cPipe(ends, closeOnExec) !== 0) throw systemError(koffi.errno(), 'make a pipe')
  const [ours, its] = [ends.readInt32LE(0), ends.readInt32LE(4)]
  const report = new Socket({ fd: ours, readable: true, writable: false })
  try {
    const actions = actionsFor(options.cwd, its)
    const number = Buffer.alloc(4)
    const argv = [file, ...args, null]
    const code = cSpawn(number, file, actions, attributes(), argv, [...env, null])
    cActionsDestroy(actions)
    if (code !== 0) {
      const { message } = systemError(code, `start ${file}`)
      throw new Failure('failed', message, { hint: 'paas doctor shows what is missing' })
    }
    const pid = number.readInt32LE()
    return { report, ended: (signal) => waitFor(pid, signal) }
  } catch (error) {
    report.destroy()
    throw error
  } finally {
    closeSync(its)
  }
}

function actionsFor(cwd: string, its: number): Buffer {
  const actions = Buffer.alloc(opaqueBytes)
  cActionsInit(actions)
  for (const fd of [0, 1, 2]) cAddOpen(actions, fd, '/dev/null', readWrite, 0)
  cAddDuplicate(actions, its, reportsAs)
  cAddDirectory(actions, cwd)
  return actions
}

/** Its own session, and all signals as a fresh process has them: Node ignores some. */
function attributes(): Buffer {
  const made = Buffer.alloc(opaqueBytes)
  cAttributesInit(made)
  cSetFlags(made, flags.defaultSignals | flags.signalMask | flags.session)
  cSetMask(made, Buffer.alloc(signalsBytes))
  cSetDefaults(made, Buffer.alloc(signalsBytes, 0xff))
  return made
}

/** Node is told of no child but its own, so that this one has to be looked for. */
async function waitFor(pid: number, signal: AbortSignal): Promise<void> {
  while (cWait(pid, null, withoutWaiting) === 0) {
    if (signal.aborted) killGroup(pid)
    await delay(1)
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (errno(error) !== 'ESRCH') throw error
  }
}
