import { existsSync } from 'node:fs'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type ArchiveType, commitArchive } from '../../builder/import/archive.ts'
import { download, receive } from '../../builder/import/download.ts'
import { fetchRef, parseRemote } from '../../builder/import/remote.ts'
import { Failure, statusOf } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { newId, parseBranch, paths, printable } from '../../core/names.ts'
import type { App, Identity } from '../../core/types.ts'
import { gitEnvironment, initArgs } from '../../receiver/git.ts'
import type { OnPush } from '../../receiver/receive-pack.ts'
import { sendPack } from '../../receiver/send-pack.ts'
import type { Daemon } from '../daemon.ts'
import { sshCommand } from './deploy-key.ts'
import type { Ask } from '../queue.ts'
import { acceptPush, whyUntouched } from './receive.ts'
import { readRef } from './refs.ts'

/** Code that does not come by a push, made into one: everything after that is the same line. */

export type ImportAsk = Ask & { by: Identity }

/** What has been brought: the commit, and whether it was there already. */
export type Imported = { commit: string; branch: string; deployed: boolean }

export type ArchiveSource = {
  /** An address, or the archive itself. */
  from: string | Readable
  type: ArchiveType | undefined
}

/** Commits the files of an archive onto the deploy branch, and deploys that. */
export async function importArchive(
  daemon: Daemon,
  app: App,
  { from, type }: ArchiveSource,
  ask: ImportAsk,
): Promise<Imported> {
  const { say, signal } = ask
  return withRepoBeside(daemon, app, async (repo, dir) => {
    const file = join(dir, 'archive')
    say(`-----> Receiving the archive${typeof from === 'string' ? '' : ' from standard input'}`)
    if (typeof from === 'string') await download(from, file, signal)
    else await receive(from, file, signal)
    const parent = await readRef(paths(daemon.config).repo(app.name), deployRef(app))
    const message = `Archive${typeof from === 'string' ? ` ${basename(from)}` : ''}`
    const env = gitEnvironment()
    const made = await commitArchive({ file, type, repo, parent, message, env }, signal)
    if (made.stripped) say(`       All of it lies in ${made.stripped}, which is left out`)
    await rm(file)
    const commit = await commitAt(repo, made.ref)
    if (parent && (await sameTree(repo, parent, commit))) return current(daemon, app, parent, ask)
    return deployFrom(daemon, app, { repo, commit }, ask)
  })
}

/** Fetches a ref of a repository elsewhere, its default branch unless named, and deploys that. */
export async function importRemote(
  daemon: Daemon,
  app: App,
  { address, ref }: { address: string; ref: string | undefined },
  ask: ImportAsk,
): Promise<Imported> {
  const { say, signal } = ask
  const remote = parseRemote(address)
  const from = ref === undefined ? 'HEAD' : parseBranch(ref)
  return withRepoBeside(daemon, app, async (repo) => {
    say(`-----> Fetching ${ref ?? 'the default branch'} of ${remote.shown}`)
    const ssh = await sshCommand(daemon.config)
    await fetchRef({ remote, repo, from, to: importRef, ssh }, signal)
    const commit = await commitAt(repo, importRef)
    const here = await readRef(paths(daemon.config).repo(app.name), deployRef(app))
    if (here === commit) return current(daemon, app, commit, ask)
    return deployFrom(daemon, app, { repo, commit, origin: remote.url }, ask)
  })
}

const importRef = 'refs/heads/import'

/** Nothing new: deployed only if that never came to a good end. */
async function current(
  daemon: Daemon,
  app: App,
  commit: string,
  { say, signal }: ImportAsk,
): Promise<Imported> {
  const branch = branchOf(app)
  const read = { commit, gitEnv: gitEnvironment() }
  const untouched = await whyUntouched(daemon, app, read, signal)
  if (untouched !== undefined) {
    say(`-----> ${untouched}`)
    return { commit, branch, deployed: false }
  }
  if (daemon.store.currentRelease(app.name)?.commit !== commit) {
    const hint = `To build it again: ps:rebuild ${app.name}`
    throw new Failure('failed', `"${branch}" of ${app.name} is at ${commit.slice(0, 7)} already`, {
      hint,
    })
  }
  say(`-----> ${app.name} runs ${commit.slice(0, 7)} already; nothing has changed`)
  return { commit, branch, deployed: false }
}

/** The push: git checks the objects, moves the ref, and asks us in between. */
async function deployFrom(
  daemon: Daemon,
  app: App,
  { repo, commit, ...where }: { repo: string; commit: string; origin?: string },
  { by, say, signal, inside = null }: ImportAsk,
): Promise<Imported> {
  let refusal: unknown
  using held = new DisposableStack()
  const onPush: OnPush = async (push, _say, pushSignal) => {
    try {
      const accepting = { by, say, signal: pushSignal, held, inside, ...where }
      await acceptPush(daemon, app.name, push, accepting)
      return 0
    } catch (error) {
      refusal = error
      return statusOf(error)
    }
  }
  const target = { ref: deployRef(app), repo: paths(daemon.config).repo(app.name) }
  try {
    await sendPack({ from: repo, commit, ...target, onPush, signal })
  } catch (error) {
    throw refusal ?? error
  }
  const runs = daemon.store.currentRelease(app.name)?.commit === commit
  return { commit, branch: branchOf(app), deployed: runs }
}

/** A bare repository for the time of `work`, which sees the objects of the app's own. */
async function withRepoBeside<T>(
  { config }: Daemon,
  app: App,
  work: (repo: string, dir: string) => Promise<T>,
): Promise<T> {
  const dir = join(paths(config).making, `import-${newId()}`)
  const repo = join(dir, 'repo.git')
  await mkdir(dir, { recursive: true, mode: 0o700 })
  try {
    await exec('git', initArgs(repo), { env: gitEnvironment() })
    const objects = join(paths(config).repo(app.name), 'objects')
    await mkdir(join(repo, 'objects', 'info'), { recursive: true })
    await writeFile(join(repo, 'objects', 'info', 'alternates'), `${objects}\n`)
    // After a push of a shallow clone the objects end where that does.
    const shallow = join(paths(config).repo(app.name), 'shallow')
    if (existsSync(shallow)) await copyFile(shallow, join(repo, 'shallow'))
    return await work(repo, dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function commitAt(repo: string, ref: string): Promise<string> {
  const commit = await readRef(repo, `${ref}^{commit}`)
  if (commit) return commit
  throw new Failure('failed', 'What was fetched is not a commit')
}

async function sameTree(repo: string, one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((sha) => readRef(repo, `${sha}^{tree}`)))
  return a !== undefined && a === b
}

function branchOf(app: App): string {
  return app.deployBranch ?? 'main'
}

function deployRef(app: App): string {
  return `refs/heads/${branchOf(app)}`
}

/** The last part of an address, without what may be secret in it. */
function basename(address: string): string {
  return printable(URL.parse(address)?.pathname.split('/').pop() ?? '')
}
