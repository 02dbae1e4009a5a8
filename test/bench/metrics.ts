import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { type Figure, median } from './stats.ts'
import { slowdowns, throughput } from './throughput.ts'
import { nodeApp, startPaas } from '../system/instance.ts'

const pairs = 30
const windowMs = 1500

/**
 * What it costs that every request is read from the router's log, counted and told to its app: the
 * throughput with the daemon, which does that, against that with the daemon stopped by a signal.
 */
export async function benchMetrics(): Promise<Figure[]> {
  await using paas = await startPaas()
  const { code, out } = await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
  if (code !== 0) throw new Error(out)
  const target = { port: paas.config.httpPort, host: `shop.${paas.config.domain}`, ms: windowMs }
  const daemon = paas.daemonPid()
  await throughput(target)
  const samples = await slowdowns(
    pairs,
    async () => {
      process.kill(daemon, 'SIGSTOP')
      const answers = await throughput(target)
      process.kill(daemon, 'SIGCONT')
      await caughtUp(daemon)
      return answers
    },
    async () => {
      const answers = await throughput(target)
      await caughtUp(daemon)
      return answers
    },
  )
  const name = 'router throughput with its requests counted: less by'
  return [{ name, value: median(samples), unit: '%', bar: 2, samples }]
}

/** Waits until the daemon has nothing left to read. */
async function caughtUp(pid: number): Promise<void> {
  for (let before = -1, now = 0; now - before > 2; await pause(600)) {
    before = now
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
    now = Number(fields[11]) + Number(fields[12])
  }
}
