import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type { Figure } from './stats.ts'
import type { Paas } from '../system/instance.ts'

/** So long takes a round of all that the daemon looks at now and then. */
const roundSeconds = 30

/** What a daemon takes that has nothing to do. */
export async function idleDaemon(instance: Paas): Promise<Figure[]> {
  const pid = instance.daemonPid()
  // Until the last old container has drained and the slow tick has passed: idle is measured.
  await pause(35_000)
  const before = await cpuTicks(pid)
  await pause(roundSeconds * 1000)
  const ticks = (await cpuTicks(pid)) - before
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const rss = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
  return [
    { name: 'daemon: resident memory, idle', value: rss, unit: 'MB', bar: 100 },
    { name: 'daemon: CPU, idle', value: ticks / roundSeconds, unit: '%', bar: 1 },
  ]
}

/** User and system time in clock ticks of 10 ms. */
async function cpuTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}
