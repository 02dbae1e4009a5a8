import { EventEmitter } from 'node:events'
import { accessSync, closeSync, constants, statSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { getSystemErrorMap } from 'node:util'
import { isMainThread } from 'node:worker_threads'
import koffi from 'koffi'
import { notStarted } from './errors.ts'

/**
 * Starts a program without a copy of this process. Node forks, which for one of 130 MB costs five
 * milliseconds of CPU; this shares the memory until the exec. For the main thread alone: only that
 * is told when a child ends.
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
const cPair = libc.func('int socketpair(int domain, int type, int protocol, void *ends)')
const cWait = libc.func('int waitpid(int pid, void *status, int options)')

/** More than these opaque types need on any architecture. */
const opaqueBytes = 512
const signalsBytes = 128
const flags = { defaultSignals: 0x04, signalMask: 0x08, session: 0x80 }
const readWrite = 2
const closeOnExec = 0x80000
const withoutWaiting = 1
const noSuchFile = 2
const noProgram = 8
const noChild = 10
const unixDomain = 1
const streamSocket = 1

/** What becomes of each file descriptor of the program, by its number; a number is one of ours. */
export type Stream = 'nowhere' | 'to it' | 'from it' | 'both ways' | number

/** The part of Node's ChildProcess that waiting for an end needs, under the same names. */
export class Program extends EventEmitter<{ exit: [code: number] }> {
  /** 128 + n for signal n, as a shell would say it. */
  exitCode: number | null = null
  readonly signalCode = null
  readonly pid: number
  readonly spawnfile: string
  /** Our ends, in the order in which they were asked for; undefined where there is none. */
  readonly streams: (Socket | undefined)[]

  constructor(pid: number, file: string, streams: (Socket | undefined)[]) {
    super()
    this.pid = pid
    this.spawnfile = file
    this.streams = streams
  }
}

export type ProgramOptions = {
  cwd?: string | undefined
  /** Replaces ours entirely when given. */
  env?: NodeJS.ProcessEnv | undefined
  streams: Stream[]
}

/**
 * Starts `file` in a session of its own, so that its process group has its number. Throws a Failure
 * when that cannot be.
 */
export function startProgram(file: string, args: string[], options: ProgramOptions): Program {
  try {
    return startOrThrow(file, args, options)
  } catch (error) {
    throw notStarted(file, error)
  }
}

/** Throws a system error. */
function startOrThrow(file: string, args: string[], options: ProgramOptions): Program {
  if (!isMainThread) throw new Error('a worker is not told when a program ends')
  const { env: variables = process.env } = options
  const env = Object.entries(variables).map(([key, value]) => `${key}=${value}`)
  for (const text of [file, ...args, ...env]) {
    if (text.includes('\0')) throw new Error('a word for a program has a NUL byte in it')
  }
  const path = file.includes('/') ? file : find(file, variables.PATH)
  const ends: Ends[] = []
  try {
    for (const stream of options.streams) ends.push(openStream(stream))
    const theirs = ends.map((end) => end.theirs)
    const pid = spawn(path, [file, ...args], env, { cwd: options.cwd, theirs })
    const ours = ends.map((end) => end.ours)
    const program = new Program(pid, file, ours)
    running.add(program)
    return program
  } catch (error) {
    for (const { ours } of ends) ours?.destroy()
    throw error
  } finally {
    for (const { ours, theirs } of ends) if (ours && theirs !== undefined) closeSync(theirs)
  }
}

/** The ends of a pipe between two programs; whoever asks closes both when they have started. */
export function openPipe(): { reading: number; writing: number } {
  const [reading, writing] = twoEnds((ends) => cPipe(ends, closeOnExec), 'pipe2')
  return { reading, writing }
}

/** As execvp does; what is no program is left to the kernel's own words. */
function find(file: string, path = '/usr/local/bin:/usr/bin:/bin'): string {
  for (const dir of path.split(':').filter(Boolean)) {
    try {
      accessSync(join(dir, file), constants.X_OK)
      if (statSync(join(dir, file)).isFile()) return join(dir, file)
    } catch {
      // not there
    }
  }
  throw systemError(noSuchFile, `spawn ${file}`)
}

type Ends = { ours?: Socket; theirs: number | undefined }

function openStream(stream: Stream): Ends {
  if (stream === 'nowhere') return { theirs: undefined }
  if (typeof stream === 'number') return { theirs: stream }
  if (stream === 'both ways') {
    const make = (ends: Buffer) => cPair(unixDomain, streamSocket | closeOnExec, 0, ends)
    const [fd, theirs] = twoEnds(make, 'socketpair')
    return { ours: new Socket({ fd, readable: true, writable: true }), theirs }
  }
  const { reading, writing } = openPipe()
  const [fd, theirs] = stream === 'to it' ? [writing, reading] : [reading, writing]
  const ours = new Socket({ fd, readable: stream === 'from it', writable: stream === 'to it' })
  return { ours, theirs }
}

function twoEnds(make: (ends: Buffer) => number, call: string): [number, number] {
  const ends = Buffer.alloc(8)
  if (make(ends) !== 0) throw systemError(koffi.errno(), call)
  return [ends.readInt32LE(0), ends.readInt32LE(4)]
}

function spawn(
  path: string,
  argv: string[],
  env: string[],
  { cwd, theirs }: { cwd: string | undefined; theirs: (number | undefined)[] },
): number {
  const actions = Buffer.alloc(opaqueBytes)
  cActionsInit(actions)
  for (const [fd, source] of theirs.entries()) {
    // It would be overwritten before its turn; ours are all higher, for we hold more files.
    if (source !== undefined && source < fd) throw new Error(`descriptor ${source} is too low`)
    if (source === undefined) cAddOpen(actions, fd, '/dev/null', readWrite, 0)
    else cAddDuplicate(actions, source, fd)
  }
  if (cwd !== undefined) cAddDirectory(actions, cwd)
  const number = Buffer.alloc(4)
  const run = (program: string, words: string[]) =>
    cSpawn(number, program, actions, attributes, [...words, null], [...env, null])
  let code = run(path, argv)
  // As execvp does: a script that does not name its interpreter is one of the shell.
  if (code === noProgram) code = run('/bin/sh', ['/bin/sh', path, ...argv.slice(1)])
  cActionsDestroy(actions)
  if (code !== 0) throw systemError(code, `spawn ${argv[0]}`)
  return number.readInt32LE()
}

/** Its own session, and all signals as a fresh process has them: Node ignores some. */
const attributes = Buffer.alloc(opaqueBytes)
cAttributesInit(attributes)
cSetFlags(attributes, flags.defaultSignals | flags.signalMask | flags.session)
cSetMask(attributes, Buffer.alloc(signalsBytes))
cSetDefaults(attributes, Buffer.alloc(signalsBytes, 0xff))

/** Node waits for no child but its own, and so none of ours is lost to it. */
const running = new Set<Program>()
process.on('SIGCHLD', reap)

function reap(): void {
  const status = Buffer.alloc(4)
  for (const program of running) {
    const seen = cWait(program.pid, status, withoutWaiting)
    if (seen === 0 || (seen < 0 && koffi.errno() !== noChild)) continue
    running.delete(program)
    const word = status.readInt32LE()
    const signal = word & 0x7f
    program.exitCode = signal === 0 ? (word >> 8) & 0xff : 128 + signal
    program.emit('exit', program.exitCode)
  }
}

function systemError(code: number, call: string): Error {
  const [name = 'UNKNOWN', words = ''] = getSystemErrorMap().get(-code) ?? []
  return Object.assign(new Error(`${call} ${name}: ${words}`), { code: name, errno: -code })
}
