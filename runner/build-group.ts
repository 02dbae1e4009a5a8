import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { log } from '../core/log.ts'
import { kernelNames } from '../core/names.ts'
import { cgroupRoot, cgroupVersion } from './cgroup.ts'

/**
 * The group of all builds, beside that of the apps and of everything else on the host: within the
 * apps' own group a build would weigh nothing against them, but as much as they against the router.
 */

/** A twentieth of what any other group has, when they all want the same core. */
const weight = { 1: { file: 'cpu.shares', value: 51 }, 2: { file: 'cpu.weight', value: 5 } }

/** Makes the group; without its weight the build runs too. */
export async function ensureBuildGroup(config: PaasConfig): Promise<void> {
  const root = cgroupRoot('cpu')
  const group = join(root, kernelNames(config).builds)
  const { file, value } = weight[cgroupVersion()]
  try {
    await mkdir(group, { recursive: true })
    if (cgroupVersion() === 2) await writeFile(join(root, 'cgroup.subtree_control'), '+cpu')
    await writeFile(join(group, file), String(value))
  } catch (error) {
    log('builds-unweighted', { why: String(error) })
  }
}
