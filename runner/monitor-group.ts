import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { log } from '../core/log.ts'
import { kernelNames, paths } from '../core/names.ts'
import { cgroupRoot, cgroupVersion, killCgroup, removeCgroup } from './cgroup.ts'
import type { Host } from './host.ts'
import { pidIn } from './processes.ts'

/**
 * A monitor copies what its container prints, at the host's expense. A control group of its own
 * bounds that: whoever floods the log waits for its monitor, and the neighbours keep their CPU.
 */

/** Copies some 12 MB/s, which no log needs; 3 % of two cores. */
const quotaUs = 6_000
const periodUs = 100_000

/** Bounds the monitor of a container that was just created; without it the container runs too. */
export async function limitMonitor(host: Host, id: string): Promise<void> {
  const names = kernelNames(host.config)
  const pid = pidIn(join(paths(host.config).bundle(id), 'monitor.pid'))
  if (pid === undefined) return
  const parent = join(cgroupRoot('cpu'), names.monitors)
  const group = join(cgroupRoot('cpu'), names.monitorCgroup(id))
  try {
    await mkdir(group, { recursive: true })
    if (cgroupVersion() === 2) {
      for (const folder of [join(parent, '..'), parent]) {
        await writeFile(join(folder, 'cgroup.subtree_control'), '+cpu')
      }
      await writeFile(join(group, 'cpu.max'), `${quotaUs} ${periodUs}`)
    } else {
      await writeFile(join(group, 'cpu.cfs_period_us'), String(periodUs))
      await writeFile(join(group, 'cpu.cfs_quota_us'), String(quotaUs))
    }
    await writeFile(join(group, 'cgroup.procs'), String(pid))
  } catch (error) {
    // One that has ended already needs no bounds.
    if (existsSync(`/proc/${pid}`)) log('monitor-unbounded', { id, why: String(error) })
  }
}

/** Ends a monitor that has not ended by itself, and removes its group. Safe without either. */
export async function removeMonitor(host: Host, id: string): Promise<void> {
  const path = kernelNames(host.config).monitorCgroup(id)
  await killCgroup(path)
  await removeCgroup(path)
}
