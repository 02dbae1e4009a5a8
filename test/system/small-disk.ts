import { chmod, mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '../../core/exec.ts'

/** A small file system of its own, with no blocks kept back for root, for filling it. */
export type SmallDisk = Awaited<ReturnType<typeof makeSmallDisk>>

/** With `quotas` it limits projects; mounting it fails where the kernel has no quotas for ext4. */
export async function makeSmallDisk(megabytes: number, { quotas = false } = {}) {
  const base = await mkdtemp(join(tmpdir(), 'paas-disk-'))
  const [image, root] = [join(base, 'image'), join(base, 'root')]
  await chmod(base, 0o711) // the router is not root
  await mkdir(root)
  await exec('truncate', [`--size=${megabytes}M`, image])
  const features = quotas ? ['-O', 'project,quota'] : []
  await exec('mkfs.ext4', ['-q', '-m', '0', ...features, image])
  try {
    await exec('mount', ['-o', quotas ? 'loop,prjquota' : 'loop', image, root])
  } catch (error) {
    await rm(base, { recursive: true, force: true })
    throw error
  }
  const filler = join(root, 'filler')
  const free = async () => {
    const { bavail, bsize } = await statfs(root)
    return bavail * bsize
  }
  return {
    root,
    free,
    /** Leaves so many bytes free, or none at all. */
    async fill(left = 0): Promise<void> {
      const bytes = (await free()) - left
      await exec('fallocate', [`--length=${bytes}`, filler], { accept: [0, 1] })
      if (left > 0) return
      for (let size = 1024 * 1024; size >= 512; size /= 2) await growUntilFull(filler, size)
    },
    clear: () => rm(filler, { force: true }),
    async [Symbol.asyncDispose](): Promise<void> {
      await exec('umount', [root])
      await rm(base, { recursive: true, force: true })
    },
  }
}

async function growUntilFull(file: string, size: number): Promise<void> {
  const block = Buffer.alloc(size, 1)
  for (;;) {
    try {
      await writeFile(file, block, { flag: 'a' })
    } catch {
      return
    }
  }
}

/** Whether this kernel can keep projects of an ext4 file system to a limit; tried once. */
export async function hasDiskQuotas(): Promise<boolean> {
  try {
    await using disk = await makeSmallDisk(16, { quotas: true })
    return disk.root !== ''
  } catch {
    return false
  }
}
