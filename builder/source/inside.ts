import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { errno } from '../../core/errors.ts'

/**
 * Whether a path below `root` is there and has no symbolic link on the way to it, nor is one. To be
 * asked before root changes anything in files of somebody else, when nobody writes there any more:
 * what leads out of them leads to the host's own.
 */
export async function isInside(root: string, path: string): Promise<boolean> {
  try {
    return (await realpath(join(root, path))) === join(await realpath(root), path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errno(error) ?? '')) return false
    throw error
  }
}
