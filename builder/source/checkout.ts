import { closeSync } from 'node:fs'
import { chown, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser, limits } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { exec, waitForEnd } from '../../core/exec.ts'
import { log } from '../../core/log.ts'
import { printable } from '../../core/names.ts'
import { openPipe, type Program, startProgram } from '../../core/spawn.ts'
import type { Layer } from '../../core/types.ts'
import { replaceFile } from '../../core/whole-file.ts'
import { readHead } from './source.ts'
import {
  canLink,
  type Earlier,
  empty,
  isWorthLinking,
  linkUnchanged,
  parseChanges,
  pathsToWrite,
} from './unchanged.ts'

/** A commit and where to read it; `gitEnv` is git's quarantine environment during a push. */
export type Commit = {
  repo: string
  gitEnv: Record<string, string>
  commit: string
  /** The layers of the release before: its tree may lend the files that have not changed. */
  before?: Layer[]
  /** `GIT_SSH_COMMAND` for submodules. */
  ssh?: () => Promise<string>
  /** The address it was fetched from: that of a submodule may be relative to it. */
  origin?: string
}

/** What of the limits of one tree is taken, by its submodules too. */
export type Taken = { files: number; bytes: number; modules: number }

export type TreeEntry = { mode: string; sha: string; bytes: number; path: string }

const gitTimeoutMs = 60_000
const extractTimeoutMs = 10 * 60_000

/** The id of a commit's tree: equal for equal content, whatever the history. */
export async function readTreeId(commit: Commit, signal: AbortSignal): Promise<string> {
  const args = ['rev-parse', '--verify', '--end-of-options', `${commit.commit}^{tree}`]
  return (await askGit(commit, args, signal)).trim()
}

/**
 * Writes a commit's files into the directory `into`, which must exist and be empty, owned by the
 * app user, without `.git`. Failure when the tree is one that paas does not build. With an
 * `earlier` tree its unchanged files are shared by hard links: nobody may write to either then.
 * Adds to what is `taken`. Returns the submodules, whose files are still missing.
 */
export async function extractCommit(
  commit: Commit,
  into: string,
  signal: AbortSignal,
  { earlier, taken = nothing() }: { earlier?: Earlier | undefined; taken?: Taken } = {},
): Promise<TreeEntry[]> {
  const entries = parseTree(
    await askGit(commit, ['ls-tree', '-rlz', '--full-tree', commit.commit], signal),
  )
  checkTree(entries, taken)
  await archiveAsCommitted(commit.repo)
  const linked = earlier && isWorthLinking(entries)
  const written = linked ? await writeChanges(commit, into, earlier, signal) : undefined
  if (!written) {
    await chown(into, appUser, appUser)
    await archiveInto(commit, into, signal)
  }
  const isWritten = ({ path }: TreeEntry) => written?.has(path) ?? true
  refuseLfsPointers(entries.filter(isWritten), into)
  // An earlier tree lends its submodules only when none of them has changed.
  return written ? [] : entries.filter(({ mode }) => mode === '160000')
}

/**
 * The paths that had to be written, all others being links; undefined, with `into` empty again,
 * when the whole tree is better written anew.
 */
async function writeChanges(
  commit: Commit,
  into: string,
  earlier: Earlier,
  signal: AbortSignal,
): Promise<Set<string> | undefined> {
  try {
    const args = ['diff-tree', '-r', '-z', '--raw', '--no-renames', earlier.treeId]
    const changes = parseChanges(await askGit(commit, [...args, `${commit.commit}^{tree}`], signal))
    if (!canLink(changes)) return undefined
    await linkUnchanged(earlier, changes, into, signal)
    const paths = pathsToWrite(changes)
    if (paths.length > 0) await archiveInto(commit, into, signal, paths)
    return new Set(paths)
  } catch (error) {
    stopIfCancelled(signal)
    log('not-linked', { why: String(error) }) // the earlier tree may be gone from the repository
    await empty(into)
    return undefined
  }
}

/** Reads `git ls-tree -rlz`. */
export function parseTree(text: string): TreeEntry[] {
  if (text !== '' && !text.endsWith('\0')) throw tooMany('The list of its files alone is over 8 MB')
  return text
    .split('\0')
    .slice(0, -1)
    .map((line) => {
      const tab = line.indexOf('\t')
      const [mode = '', , sha = '', size = ''] = line.slice(0, tab).split(/ +/)
      return { mode, sha, bytes: Number(size) || 0, path: line.slice(tab + 1) }
    })
}

export function nothing(): Taken {
  return { files: 0, bytes: 0, modules: 0 }
}

/** Refuses what cannot become an app: nothing at all, or too much with what is `taken` already. */
export function checkTree(entries: TreeEntry[], taken: Taken): void {
  if (entries.length === 0) {
    throw new Failure('failed', 'The commit has no files', {
      hint: 'Add and commit the files of your app, then push again',
    })
  }
  const others = taken.modules > 0 ? ' with its submodules' : ''
  taken.files += entries.length
  taken.bytes += entries.reduce((sum, entry) => sum + entry.bytes, 0)
  const { files, bytes } = taken
  if (files > limits.treeEntries) {
    throw tooMany(`${files} files${others}: at most ${limits.treeEntries} are taken`)
  }
  if (bytes > limits.treeBytes) {
    const most = mebibytes(limits.treeBytes)
    throw tooMany(`${mebibytes(bytes)} of files${others}: at most ${most} are taken`)
  }
}

/** What git prints when it is asked about a commit's repository. */
export async function askGit(commit: Commit, args: string[], signal: AbortSignal): Promise<string> {
  const options = { env: gitEnvironment(commit), signal, timeoutMs: gitTimeoutMs }
  return (await exec('git', [`--git-dir=${commit.repo}`, ...args], options)).stdout
}

function gitEnvironment(commit: Commit): Record<string, string> {
  return { PATH: process.env.PATH ?? '', GIT_CONFIG_NOSYSTEM: '1', ...commit.gitEnv }
}

/** `git archive` leaves out and rewrites what attributes say; an app is what was committed. */
async function archiveAsCommitted(repo: string): Promise<void> {
  const file = join(repo, 'info', 'attributes')
  const wanted = '* -export-ignore -export-subst\n'
  const there = await readFile(file, 'utf8').catch(() => undefined)
  if (there !== wanted) await replaceFile(file, wanted)
}

/**
 * tar runs as the app user and only sees its own working directory: the parents are closed to it.
 * Files get the time of extraction, not the commit's, so that a web server's ETag never repeats.
 */
async function archiveInto(
  commit: Commit,
  into: string,
  signal: AbortSignal,
  paths: string[] = [],
): Promise<void> {
  const limitsOfWait = { signal, timeoutMs: extractTimeoutMs }
  const user = String(appUser)
  const drop = ['--reuid', user, '--regid', user, '--clear-groups', '--no-new-privs']
  const untar = ['tar', '--extract', '--touch', '--no-same-owner', '--file=-']
  const args = ['-c', 'tar.umask=0022', 'archive', '--format=tar', '--', commit.commit, ...paths]
  const pipe = openPipe()
  const programs: Program[] = []
  try {
    const archive = startProgram('git', [`--git-dir=${commit.repo}`, ...args], {
      env: { ...gitEnvironment(commit), GIT_LITERAL_PATHSPECS: '1' },
      streams: ['nowhere', pipe.writing, 'from it'],
    })
    programs.push(archive)
    const tar = startProgram('setpriv', [...drop, '--inh-caps=-all', '--', ...untar], {
      cwd: into,
      env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' },
      streams: [pipe.reading, 'nowhere', 'from it'],
    })
    programs.push(tar)
  } finally {
    // git has the only writing end: its end is tar's end of file, and tar's is git's.
    for (const end of Object.values(pipe)) closeSync(end)
  }
  const words = programs.map(said)
  const ended = programs.map((program) => waitForEnd(program, limitsOfWait))
  await Promise.allSettled(ended)
  const codes = await Promise.all(ended)
  // What tar has to say comes first: git then only says that nobody listened.
  for (const at of [1, 0]) if (codes[at] !== 0) throw notExtracted((await words[at]) ?? '')
}

async function said({ streams: [, , stderr] }: Program): Promise<string> {
  let text = ''
  for await (const chunk of stderr ?? []) {
    if (text.length < 8192) text += String(chunk)
  }
  return text.trim()
}

function notExtracted(text: string): Failure {
  const lines = text.split('\n').slice(-5)
  return new Failure(
    'failed',
    `Could not extract the commit: ${lines.shift() ?? 'no reason given'}`,
    {
      details: lines,
    },
  )
}

/** A pointer's first line, and sizes between which a whole pointer file can be. */
const lfs = { line: 'version https://git-lfs.github.com/spec/v1', bytesMin: 100, bytesMax: 1024 }

function refuseLfsPointers(entries: TreeEntry[], dir: string): void {
  const pointers = entries.filter((entry) => {
    const possible = entry.bytes >= lfs.bytesMin && entry.bytes <= lfs.bytesMax
    return possible && readHead(dir, entry.path, lfs.line.length) === lfs.line
  })
  const [first] = pointers
  if (!first) return
  const more = pointers.length > 1 ? ` (and ${pointers.length - 1} more)` : ''
  const seen = `${printable(first.path)} is a Git LFS pointer${more}: its content is not in this push`
  throw new Failure('failed', seen, {
    hint: 'Commit the files themselves: git lfs untrack, git add --renormalize . and commit',
  })
}

function tooMany(seen: string): Failure {
  return new Failure('failed', `The repository is too large to build. ${seen}`, {
    hint: 'Leave generated files and dependencies out of the repository',
  })
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`
}
