import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { cancelled, Failure, failureLines, statusOf } from '../core/errors.ts'
import { spawnGroup, waitForEnd } from '../core/exec.ts'
import { logError } from '../core/log.ts'
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
  const [control, output] = [socketAt(git, 3), socketAt(git, 4)]
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
  return ended.finally(() => session.signal.removeEventListener('abort', onAbort))
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

type RunningGit = { git: ChildProcess; kill: AbortController; ended: Promise<number> }

/** Starts git on the session's streams; aborting `kill` ends its whole group. */
function startGit(session: GitSession, args: string[], timeoutMs: number): RunningGit {
  const env = gitEnvironment(session.env['GIT_PROTOCOL'])
  const stdio = ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'] as const
  const git = spawnGroup('git', args, { cwd: '/', env, stdio: [...stdio] })
  git.stdin?.on('error', () => {}) // git may close its input before the client is done
  if (git.stdin) session.stdin.pipe(git.stdin)
  session.stdin.once('close', () => git.stdin?.end()) // also when destroyed by a lost client
  git.stdout?.pipe(session.stdout, { end: false })
  git.stderr?.pipe(session.stderr, { end: false })
  const kill = new AbortController()
  const exited = waitForEnd(git, { signal: kill.signal, timeoutMs })
  const ended = afterOutput(git, exited)
  ended.catch(() => {}) // whoever fails before awaiting it must not bring the daemon down
  return { git, kill, ended }
}

/** Resolves once git has exited and the last of its output has been handed on. */
async function afterOutput(git: ChildProcess, exited: Promise<number>): Promise<number> {
  const closed = new Promise<void>((resolve) => git.once('close', () => resolve()))
  const code = await exited
  await closed
  return code
}

/** Lets git come to its end without its client: what it says is read and thrown away. */
function forget(git: ChildProcess): void {
  git.stdin?.end()
  for (const stream of [git.stdout, git.stderr]) {
    stream?.unpipe()
    stream?.resume()
  }
}

function socketAt(git: ChildProcess, fd: number): Socket {
  const stream = git.stdio[fd]
  if (stream instanceof Socket) return stream
  throw new Failure('failed', 'Could not start git: no socket for its hook')
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
