import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { readProcess } from '../../router/caddy-process.ts'
import { routerPaths } from '../../router/routes.ts'
import { type Figure, median, sample } from './stats.ts'
import { slowdowns, throughput } from './throughput.ts'
import { nodeApp, type Paas, startPaas } from '../system/instance.ts'

const pairs = 30
const windowMs = 1500
/** The daemon looks at the router's log twice a second. */
const lookMs = 600

/**
 * What it costs that every request is read from the router's log, counted and told to its app: the
 * throughput with the daemon, which does that, against that with the daemon stopped by a signal;
 * and, which noise hits less, its CPU time for that beside the router's own.
 */
export async function benchMetrics(): Promise<Figure[]> {
  await using paas = await startPaas()
  const { code, out } = await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
  if (code !== 0) throw new Error(out)
  const target = { port: paas.config.httpPort, host: `shop.${paas.config.domain}`, ms: windowMs }
  await throughput(target)
  return [
    await lostThroughput(paas, () => throughput(target)),
    await cpuShare(paas, () => throughput(target)),
  ]
}

async function lostThroughput(paas: Paas, load: () => Promise<number>): Promise<Figure> {
  const daemon = paas.daemonPid()
  const samples = await slowdowns(
    pairs,
    async () => {
      process.kill(daemon, 'SIGSTOP')
      const answers = await load().finally(() => process.kill(daemon, 'SIGCONT'))
      await caughtUp(daemon)
      return answers
    },
    async () => {
      const answers = await load()
      await caughtUp(daemon)
      return answers
    },
  )
  const name = 'router throughput with its requests counted: less by'
  return { name, value: median(samples), unit: '%', bar: 2, samples }
}

async function cpuShare(paas: Paas, load: () => Promise<number>): Promise<Figure> {
  const daemon = paas.daemonPid()
  const router = readProcess(routerPaths(paas.config).pid)?.pid ?? NaN
  const used = async (work: () => Promise<unknown>) => {
    const before = { daemon: cpuMs(daemon), router: cpuMs(router) }
    await work()
    await pause(lookMs)
    return { daemon: cpuMs(daemon) - before.daemon, router: cpuMs(router) - before.router }
  }
  const samples = await sample(pairs, async () => {
    const [rest, busy] = [await used(() => pause(windowMs)), await used(load)]
    return ((busy.daemon - rest.daemon) / (busy.router - rest.router)) * 100
  })
  const name = "daemon's CPU for counting requests, of the router's for serving them"
  return { name, value: median(samples), unit: '%', bar: 2, samples }
}

/** Waits until the daemon has nothing left to read. */
async function caughtUp(pid: number): Promise<void> {
  const busyMs = 30
  for (let before = -Infinity, now = 0; now - before > busyMs; now = cpuMs(pid)) {
    before = now
    await pause(lookMs)
  }
}

/** Milliseconds that the threads of a process have had of a core. */
function cpuMs(pid: number): number {
  const files = readdirSync(`/proc/${pid}/task`).map(
    (task) => `/proc/${pid}/task/${task}/schedstat`,
  )
  const times = files.map((file) => Number(readFileSync(file, 'utf8').split(' ')[0]))
  return times.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e6
}
