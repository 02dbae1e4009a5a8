import { chown, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { appUser } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { maskAddresses } from '../../core/mask.ts'
import { newId, printable } from '../../core/names.ts'
import { askGit, type Commit, extractCommit, nothing, type Taken } from './checkout.ts'
import { fetchRef, parseRemote, type Remote } from '../import/remote.ts'
import { type Earlier, requireInside } from './unchanged.ts'

/** A commit's files with those of its submodules, fetched over https or ssh. */

/** Of a tree in all, and how deep they lie in each other. */
const most = 100
const deepest = 4

export type Place = {
  /** Where the commit's own files lie. */
  into: string
  /** A directory for repositories, removed by the caller. */
  scratch: string
}

/**
 * Writes a commit's files as `extractCommit` does, and those of its submodules. Failure, in one
 * sentence, for a submodule whose files cannot be had, or that makes too much of the tree.
 */
export async function extractTree(
  commit: Commit,
  place: Place,
  signal: AbortSignal,
  earlier?: Earlier,
): Promise<void> {
  await extractAt(commit, place, { taken: nothing(), depth: 1 }, signal, earlier)
}

async function extractAt(
  commit: Commit,
  place: Place,
  { taken, depth }: { taken: Taken; depth: number },
  signal: AbortSignal,
  earlier?: Earlier,
): Promise<void> {
  const modules = await extractCommit(commit, place.into, signal, { earlier, taken })
  if (modules.length === 0) return
  taken.modules += modules.length
  if (taken.modules > most || depth > deepest) {
    const seen = depth > deepest ? `lie ${depth} deep` : `are ${taken.modules}`
    throw new Failure('failed', `The git submodules ${seen}: at most ${most}, ${deepest} deep`)
  }
  const addresses = await readAddresses(commit, signal)
  for (const { path, sha } of modules) {
    stopIfCancelled(signal)
    const repo = join(place.scratch, newId())
    const into = join(place.into, path)
    await requireInside(place.into, dirname(path))
    await mkdir(into, { recursive: true })
    await chown(into, appUser, appUser)
    const url = absolute(addresses.get(path), commit.origin)
    await fetchModule({ path, sha, url }, { commit, repo }, signal)
    const inner = { ...commit, repo, gitEnv: {}, commit: sha, ...(url && { origin: url }) }
    await extractAt(inner, { ...place, into }, { taken, depth: depth + 1 }, signal)
    await rm(repo, { recursive: true, force: true })
  }
}

/** `../lib.git` beside `https://example.com/shop.git` is `https://example.com/lib.git`. */
function absolute(url: string | undefined, origin: string | undefined): string | undefined {
  if (url === undefined || origin === undefined || !/^\.\.?\//.test(url)) return url
  const base = parseRemote(origin).url.replace(/\/*$/, '/')
  return URL.parse(url, base)?.href ?? url
}

type Module = { path: string; sha: string; url: string | undefined }

async function fetchModule(
  { path, sha, url }: Module,
  { commit, repo }: { commit: Commit; repo: string },
  signal: AbortSignal,
): Promise<void> {
  const name = printable(path)
  if (url === undefined) {
    throw missing(name, '.gitmodules does not say of which repository')
  }
  const remote = remoteOf(name, url)
  await exec('git', ['init', '--quiet', '--bare', '--template=', '--', repo], { signal })
  const ssh = (await commit.ssh?.()) ?? 'ssh'
  const request = { remote, repo, ssh }
  try {
    // Not every server gives a commit by its id; all of them give their branches.
    await fetchRef({ ...request, from: sha, to: 'refs/heads/import', depth: 1 }, signal).catch(
      async () => {
        stopIfCancelled(signal)
        await fetchRef({ ...request, from: 'refs/heads/*', to: 'refs/heads/*' }, signal)
      },
    )
  } catch (error) {
    stopIfCancelled(signal)
    throw missing(name, error instanceof Failure ? error.message : String(error), error)
  }
  const probe = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${sha}^{commit}`]
  await askGit({ repo, gitEnv: {}, commit: sha }, probe, signal).catch(() => {
    throw missing(name, `${remote.shown} does not have the commit ${sha.slice(0, 7)}`)
  })
}

function remoteOf(name: string, url: string): Remote {
  try {
    return parseRemote(url)
  } catch {
    const shown = printable(maskAddresses(url))
    throw missing(name, `its address is "${shown}", and only https:// and ssh:// are fetched`)
  }
}

function missing(name: string, why: string, cause?: unknown): Failure {
  return new Failure('failed', `${name} is a git submodule without its files: ${why}`, {
    hint: `Make it reachable (over ssh with git:public-key), or commit the files themselves`,
    cause,
  })
}

/** From the .gitmodules of the commit: the address of each path. */
async function readAddresses(commit: Commit, signal: AbortSignal): Promise<Map<string, string>> {
  const blob = `--blob=${commit.commit}:.gitmodules`
  const pattern = String.raw`^submodule\..*\.(path|url)$`
  const text = await askGit(commit, ['config', blob, '-z', '--get-regexp', pattern], signal).catch(
    () => '', // there is none
  )
  const paths = new Map<string, string>()
  const urls = new Map<string, string>()
  for (const entry of text.split('\0')) {
    const [, name = '', key = '', value = ''] =
      /^submodule\.([^]*)\.(path|url)\n([^]*)$/.exec(entry) ?? []
    if (key === 'path') paths.set(name, value)
    if (key === 'url') urls.set(name, value)
  }
  return new Map([...paths].map(([name, path]) => [path, urls.get(name) ?? '']))
}
