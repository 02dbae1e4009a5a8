import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { readWishes, type Wishes } from '../buildpack-detect/paas-toml.ts'
import { askGit, type Commit } from './checkout.ts'
import type { Source } from './source.ts'

/** What of its repository an app reads, where its owner has said so; that wins over paas.toml. */
export type Reads = { appDir?: string; paths: string[] }

const tomlBytesMost = 64 * 1024

/**
 * The paths that decide whether a push is deployed, when none of them differs between the commit
 * that runs and the new one; undefined when one does, when there are none, or when it cannot be
 * told: the build will find out why.
 */
export async function untouchedPaths(
  commit: Commit,
  deployed: string,
  owner: Reads,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  try {
    const wishes = await wishesOf(commit, signal)
    const paths = owner.paths.length > 0 ? owner.paths : (wishes?.paths ?? [])
    if (paths.length === 0) return undefined
    const folder = owner.appDir ?? wishes?.appDir ?? ''
    const dockerfile = wishes?.docker.file ?? 'Dockerfile'
    const ours = [...files, dockerfile, ...(folder === '' ? [] : [folder])]
    const specs = [...pathspecs(paths), ...pathspecs(ours)]
    const args = ['diff-tree', '-r', '--name-only', deployed, commit.commit, '--', ...specs]
    return (await askGit(commit, args, signal)) === '' ? paths : undefined
  } catch (error) {
    stopIfCancelled(signal)
    if (error instanceof Failure) return undefined
    throw error
  }
}

/** What paas itself reads at the top of a repository, whatever the app reads. */
const files = ['paas.toml', 'app.json', 'Procfile', '.buildpacks']

/** As CI has them: files, folders with all below, globs, and with `!` what does not count. */
function pathspecs(paths: string[]): string[] {
  const specs = paths.map((path) => {
    const magic = path.startsWith('!') ? 'top,glob,exclude' : 'top,glob'
    return `:(${magic})${path.replace(/^!?(\.?\/+)*(\.$)?|\/+$/g, '')}`
  })
  return paths.every((path) => path.startsWith('!')) ? [':(top)', ...specs] : specs
}

async function wishesOf(commit: Commit, signal: AbortSignal): Promise<Wishes | undefined> {
  const tree = await askGit(commit, ['ls-tree', '-l', commit.commit, '--', 'paas.toml'], signal)
  const [, sha, size] = /^100\d+ blob (\w+) +(\d+)\t/.exec(tree) ?? []
  if (sha === undefined || Number(size) > tomlBytesMost) return undefined
  return readWishes(sourceOf('paas.toml', await askGit(commit, ['cat-file', 'blob', sha], signal)))
}

/** A tree of one file. */
function sourceOf(path: string, text: string): Source {
  const isIt = (asked: string) => asked === path
  return {
    readText: (asked) => (isIt(asked) ? text : undefined),
    read: (asked) => (isIt(asked) ? { bytes: Buffer.from(text), executable: false } : undefined),
    isFile: isIt,
    isDirectory: () => false,
    list: () => [path],
  }
}
