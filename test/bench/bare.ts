import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { exec } from '../../core/exec.ts'
import type { Paas } from '../system/instance.ts'
import { layerPaths } from './layers.ts'
import { bareRunc } from './raw.ts'

/**
 * Milliseconds of the same layers, joined by a plain overlay, started by so many plain runcs at
 * once, until the last answers.
 */
export async function bareStarts(instance: Paas, count = 1): Promise<number> {
  const base = join(instance.base, 'bare')
  const [upper, work, root] = ['upper', 'work', 'root'].map((name) => join(base, name))
  for (const dir of [upper, work, root]) await mkdir(dir ?? base, { recursive: true })
  const lower = (await layerPaths(instance)).toReversed().join(':')
  const data = `lowerdir=${lower},upperdir=${upper},workdir=${work}`
  await exec('mount', ['-t', 'overlay', 'overlay', '-o', data, root ?? base])
  try {
    const runs = Array.from({ length: count }, () =>
      bareRunc(root ?? base, ['node', 'server.js'], '/app'),
    )
    return Math.max(...(await Promise.all(runs)))
  } finally {
    await exec('umount', [root ?? base])
  }
}
