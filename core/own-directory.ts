import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, Failure } from './errors.ts'

/**
 * What says that a directory is ours: our note, or what was there before notes were left, or what
 * an `rm -r` by hand cannot remove.
 */
const note = '.paas'
const signs = new Set([note, 'paas.db', 'paas.pid', 'router-log.json', 'idmaps'])

/**
 * Makes the directory that the setting `name` tells, with a note that it is ours. Throws a usage
 * Failure when it holds files of somebody else, for we would remove them one day.
 */
export async function claimDirectory(name: string, path: string): Promise<void> {
  await mkdir(path, { recursive: true })
  await refuseForeign(name, path)
  // Not again at every start: there may be no room for it by then.
  if (existsSync(join(path, note))) return
  await writeFile(join(path, note), 'All in this directory belongs to paas.\n')
}

/** Removes a directory that `claimDirectory` made; of the root of a file system, all within. */
export async function removeDirectory(name: string, path: string): Promise<void> {
  await refuseForeign(name, path)
  for (const entry of await entriesOf(path)) {
    await rm(join(path, entry), { recursive: true, force: true })
  }
  await rmdir(path).catch((error: unknown) => {
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].includes(errno(error) ?? '')) throw error
  })
}

/** Throws a usage Failure when the directory holds files and none of them is ours. */
async function refuseForeign(name: string, path: string): Promise<void> {
  const others = await entriesOf(path)
  if (others.length === 0 || others.some((entry) => signs.has(entry))) return
  const seen = others.slice(0, 3).join(', ')
  throw new Failure(
    'usage',
    `${name} is ${path}, which holds files that are not of paas: ${seen}`,
    {
      hint: 'Choose a new or an empty directory',
    },
  )
}

/** All names but the one that every ext4 file system has at its root. */
async function entriesOf(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((entry) => entry !== 'lost+found')
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}
