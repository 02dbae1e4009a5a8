import { readFile } from 'node:fs/promises'
import type { Host } from './host.ts'
import { listInstances } from './observe.ts'

/** What the containers that run have mounted: each a path within the file system it lies on. */
export async function mountedPaths(host: Host): Promise<string[]> {
  const alive = (await listInstances(host)).filter((one) => one.alive)
  const tables = await Promise.all(
    alive.map(({ pid }) => readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')),
  )
  return tables.flatMap((table) => table.split('\n').map((line) => line.split(' ')[3] ?? ''))
}
