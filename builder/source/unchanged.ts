import { existsSync } from 'node:fs'
import { mkdir, rm, rmdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errno, stopIfCancelled } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { isInside } from './inside.ts'

/**
 * A tree made from the one before it: unchanged files are hard links to the earlier layer's, which
 * nobody writes to, so that a release costs what it changes. Only what is worth it is made so.
 */

export type Earlier = { treeId: string; dir: string }

export type TreeChange = { status: string; modes: readonly string[]; path: string }

/** With fewer files and less in them, writing all anew is as quick. */
const worth = { files: 300, bytes: 4 * 1024 * 1024 }
/** Paths travel on one command line. */
const changesMost = 500
const copyTimeoutMs = 5 * 60_000

export function isWorthLinking(entries: { bytes: number }[]): boolean {
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  return entries.length >= worth.files || bytes >= worth.bytes
}

/** Reads `git diff-tree -r -z --raw --no-renames`. */
export function parseChanges(text: string): TreeChange[] {
  const parts = text.split('\0').slice(0, -1)
  const changes: TreeChange[] = []
  for (let index = 0; index + 1 < parts.length; index += 2) {
    const [from = '', to = '', , , status = ''] = (parts[index] ?? '').slice(1).split(' ')
    changes.push({ status, modes: [from, to], path: parts[index + 1] ?? '' })
  }
  return changes
}

/** Whether so few files differ, and none of them a submodule, that linking the rest is the way. */
export function canLink(changes: TreeChange[]): boolean {
  const submodule = ({ modes }: TreeChange) => modes.includes('160000')
  return changes.length <= changesMost && !changes.some(submodule)
}

/**
 * Fills the empty directory `into` with links to the earlier tree's files, without those that
 * differ. What is missing then is what `pathsToWrite` names.
 */
export async function linkUnchanged(
  earlier: Earlier,
  changes: readonly TreeChange[],
  into: string,
  signal: AbortSignal,
): Promise<void> {
  const copy = ['--archive', '--link', '--no-target-directory', '--', earlier.dir, into]
  await exec('cp', copy, { signal, timeoutMs: copyTimeoutMs })
  for (const { path } of changes.filter(({ status }) => status !== 'A')) {
    stopIfCancelled(signal)
    await requireInside(into, dirname(path))
    await unlink(join(into, path))
    await removeEmpty(into, dirname(path))
  }
}

/** Throws unless a path of the tree is there, and not reached through a symbolic link. */
export async function requireInside(root: string, path: string): Promise<void> {
  if (!(await isInside(root, path))) throw new Error(`${path} leads out of its tree`)
}

/** What differs and is there in the new tree. */
export function pathsToWrite(changes: TreeChange[]): string[] {
  return changes.filter(({ status }) => status !== 'D').map(({ path }) => path)
}

/** Begins anew after a link that did not work out. */
export async function empty(dir: string): Promise<void> {
  if (existsSync(dir)) await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
}

/** git knows no empty directories: a new tree must not have one where its last file was. */
async function removeEmpty(root: string, path: string): Promise<void> {
  for (let dir = path; dir !== '.'; dir = dirname(dir)) {
    try {
      await rmdir(join(root, dir))
    } catch (error) {
      if (['ENOTEMPTY', 'EEXIST'].includes(errno(error) ?? '')) return
      throw error
    }
  }
}
