import { posix } from 'node:path'
import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'

/** Pure: what may come out of an archive that somebody sends, and what a commit is made of. */

/** A file as an archive holds it; `body` gives exactly `bytes` bytes and must be read in turn. */
export type ArchiveEntry = {
  path: string
  bytes: number
  kind: 'file' | 'link' | 'same-as'
  executable: boolean
  /** For `same-as`, a hard link: the path of an earlier file. */
  target: string
  body: AsyncIterable<Buffer>
}

const pathBytesMost = 4000
export const linkBytesMost = 4096

/** Counts what comes; throws when it is more than paas builds. */
export function openBounds(): (bytes: number) => void {
  let [files, total] = [0, 0]
  return (bytes) => {
    files += 1
    total += bytes
    if (files > limits.treeEntries) {
      throw refused(`it has more than ${limits.treeEntries} files`)
    }
    if (total > limits.treeBytes) {
      const most = Math.round(limits.treeBytes / 1024 / 1024)
      throw refused(`it has more than ${most} MiB of files`)
    }
  }
}

/** A path as git knows it, without `./` and a last slash; a Failure for one that is no such. */
export function safePath(text: string): string {
  const bad = (why: string) => refused(`"${printable(text)}" ${why}`)
  if (text.startsWith('/')) throw bad('is an absolute path')
  if (/[\x00-\x1f\x7f\\]/.test(text)) throw bad('has a control character or a backslash in it')
  if (Buffer.byteLength(text) > pathBytesMost) throw bad('is too long')
  const parts = text.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw bad('leads out of the archive')
  if (parts.some(isGitDirectory)) throw bad('is a part of git’s own')
  return parts.join('/')
}

/**
 * The directory that everything lies in, such as `shop-1.2.0/`, which an archive of a repository
 * often has and its commit has not; empty where there is none.
 */
export function commonDirectory(paths: string[]): string {
  const [first = ''] = paths
  const directory = first.slice(0, first.indexOf('/') + 1)
  return directory !== '' && paths.every((path) => path.startsWith(directory)) ? directory : ''
}

/** Refuses a symbolic link that leads out of the tree. */
export function checkLink(path: string, target: string): void {
  const leads = posix.normalize(posix.join(posix.dirname(path), target))
  if (!target.startsWith('/') && leads !== '..' && !leads.startsWith('../')) return
  throw refused(`the symbolic link "${printable(path)}" leads out of it`)
}

/** Reads what nobody has read, so that what follows can be. */
export async function discard(body: AsyncIterable<Buffer>): Promise<void> {
  const rest = body[Symbol.asyncIterator]()
  while (!(await rest.next()).done);
}

export function refused(why: string): Failure {
  return new Failure('failed', `The archive is not taken: ${why}`)
}

/** Also as file systems without upper and lower case would take it. */
function isGitDirectory(part: string): boolean {
  return /^(\.git[. ]*|git~\d)$/i.test(part.replace(/[\u200c-\u200f\u202a-\u202e\ufeff]/g, ''))
}
