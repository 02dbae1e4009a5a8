import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { cancelled, Failure, failureLines, statusOf } from '../core/errors.ts'
import { waitForEnd } from '../core/exec.ts'
import { logError } from '../core/log.ts'
import { type Program, startProgram } from '../core/spawn.ts'
import type { Say } from '../core/types.ts'
import { gitEnvironment, hooksPath, receivePackArgs, uploadPackArgs } from './git.ts'
import { explainGit } from './git-words.ts'
import { readPush } from './hook-link.ts'
import { sayTo } from './output.ts'
import type { Session } from './session.ts'

/** A session's streams and a repository: an absolute path, made by `ensureRepo`. */
export type GitSession = Pick<Session, 'stdin' | 'stdout' | 'stderr' | 'signal' | 'env'> & {
  repo: string
}

/** An all-zero sha stands for "does not exist": a ref created, or one deleted. */
export type RefUpdate = { ref: string; oldSha: string; newSha: string }

export type PushRequest = {
  updates: RefUpdate[]
  /**
   * `GIT_DIR` and the quarantine's variables with absolute paths: with these (and not without), git
   * sees the pushed objects before the push is accepted.
   */
  gitEnv: Record<string, string>
}

/**
 * Decides a push while its objects are in quarantine. The status becomes the hook's: 0 lets git
 * move the refs, anything else (and any throw) refuses all of them. `signal` aborts when the client
 * or git goes; the answer still counts, so whoever has passed the point of no return returns 0.
 */
export type OnPush = (push: PushRequest, say: Say, signal: AbortSignal) => Promise<number>

export type ReceivePackOptions = GitSession & { onPush: OnPush; hooksPath?: string }

/** From the first byte to the last, builds included. */
const pushTimeoutMs = 3 * 60 * 60 * 1000
const fetchTimeoutMs = 60 * 60 * 1000

/** How long git may take to clean up after a lost client before it is killed. */
const tidyTimeoutMs = 1000

/**
 * Runs the stock `git receive-pack` for one client, asking `onPush` before any ref moves. Resolves
 * with git's exit status once git and all it started are gone.
 */
export async function receivePack(options: ReceivePackOptions): Promise<number> {
  const hooks = options.hooksPath ?? hooksPath
  await requireHook(hooks)
  const { git, kill, ended } = startGit(
    options,
    receivePackArgs(options.repo, hooks),
    pushTimeoutMs,
  )
  const explained = explainGit(git.stdout)
  const { control, output } = git
  let asked = false
  const onPush: OnPush = (...push) => {
    asked = true
    return options.onPush(...push)
  }
  const deciding = decide({ ...options, onPush }, control, output)
  let tidying: NodeJS.Timeout | undefined
  const onAbort = async () => {
    forget(git)
    // Past a yes, git must move the ref even with nobody left to tell. After a no it removes its
    // quarantine by itself, which it does not do when it is killed.
    if ((await deciding) === 0) return
    tidying = setTimeout(() => kill.abort(cancelled(options.signal)), tidyTimeoutMs)
  }
  if (options.signal.aborted) void onAbort()
  options.signal.addEventListener('abort', onAbort, { once: true })
  try {
    const code = await ended
    const failure = asked ? undefined : explained()
    if (failure) options.stderr.write(`${failureLines(failure).join('\n')}\n`)
    return code
  } finally {
    options.signal.removeEventListener('abort', onAbort)
    control.destroy() // ends a hook that outlived git, and `deciding` when there was none
    await deciding
    clearTimeout(tidying)
    output.destroy()
  }
}

/** Runs the stock `git upload-pack` for one client: clone and fetch. */
export async function uploadPack(session: GitSession): Promise<number> {
  const { git, kill, ended } = startGit(session, uploadPackArgs(session.repo), fetchTimeoutMs)
  const onAbort = () => {
    forget(git)
    kill.abort(cancelled(session.signal))
  }
  if (session.signal.aborted) onAbort()
  session.signal.addEventListener('abort', onAbort, { once: true })
  return ended.finally(() => {
    session.signal.removeEventListener('abort', onAbort)
    for (const unused of [git.control, git.output]) unused.destroy()
  })
}

/** git runs the push unasked when the hook cannot be run: better to refuse than to let it pass. */
async function requireHook(hooks: string): Promise<void> {
  const hook = join(hooks, 'pre-receive')
  try {
    await access(hook, constants.X_OK)
  } catch (cause) {
    const hint = 'On the server, make it executable: chmod 755 receiver/hooks/pre-receive'
    throw new Failure('failed', `Could not take the push: ${hook} cannot be run`, { cause, hint })
  }
}

type RunningGit = { git: Git; kill: AbortController; ended: Promise<number> }

/** The program with our ends of its streams; the last two are those of its hook. */
type Git = Record<'stdin' | 'stdout' | 'stderr' | 'control' | 'output', Socket>

/** Starts git on the session's streams; aborting `kill` ends its whole group. */
function startGit(session: GitSession, args: string[], timeoutMs: number): RunningGit {
  const env = gitEnvironment(session.env['GIT_PROTOCOL'])
  const streams = ['to it', 'from it', 'from it', 'both ways', 'both ways'] as const
  const program = startProgram('git', args, { cwd: '/', env, streams: [...streams] })
  const git = streamsOf(program)
  git.stdin.on('error', () => {}) // git may close its input before the client is done
  session.stdin.pipe(git.stdin)
  session.stdin.once('close', () => git.stdin.end()) // also when destroyed by a lost client
  git.stdout.pipe(session.stdout, { end: false })
  git.stderr.pipe(session.stderr, { end: false })
  const kill = new AbortController()
  const exited = waitForEnd(program, { signal: kill.signal, timeoutMs })
  const ended = afterOutput(git, exited)
  ended.catch(() => {}) // whoever fails before awaiting it must not bring the daemon down
  return { git, kill, ended }
}

function streamsOf({ streams: [stdin, stdout, stderr, control, output] }: Program): Git {
  if (stdin && stdout && stderr && control && output)
    return { stdin, stdout, stderr, control, output }
  throw new Error('git has not all of its streams')
}

/** Resolves once git has exited and the last of its output has been handed on. */
async function afterOutput({ stdout, stderr }: Git, exited: Promise<number>): Promise<number> {
  const closed = [stdout, stderr].map(
    (stream) => new Promise<void>((resolve) => stream.once('close', () => resolve())),
  )
  const code = await exited
  await Promise.all(closed)
  return code
}

/** Lets git come to its end without its client: what it says is read and thrown away. */
function forget(git: Git): void {
  git.stdin.end()
  for (const stream of [git.stdout, git.stderr]) {
    stream.unpipe()
    stream.resume()
  }
}

/** Waits for the hook, asks `onPush`, answers. Resolves with the answer; 1 when it never came. */
async function decide(
  options: ReceivePackOptions,
  control: Socket,
  output: Socket,
): Promise<number> {
  const { repo, signal, onPush } = options
  const say = sayTo(output)
  const hookGone = new AbortController()
  control.once('close', () => hookGone.abort(new Failure('failed', 'git stopped')))
  let status = 1
  try {
    const push = await Promise.race([readPush(control, repo), aborted(signal)])
    if (push) status = await onPush(push, say, AbortSignal.any([signal, hookGone.signal]))
  } catch (error) {
    status = statusOf(error)
    if (!(error instanceof Failure)) logError('push failed', error, { repo })
    for (const line of failureLines(error)) say(line)
  }
  if (control.writable) control.write(`${status}\n`)
  output.end()
  return status
}

function aborted(signal: AbortSignal): Promise<null> {
  const { promise, resolve } = Promise.withResolvers<null>()
  if (signal.aborted) resolve(null)
  signal.addEventListener('abort', () => resolve(null), { once: true })
  return promise
}
