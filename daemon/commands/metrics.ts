import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { mebibytes } from '../fleet/deaths.ts'
import { Latencies } from '../metrics/latencies.ts'
import type { Command } from './command.ts'
import { columns } from './output.ts'

export const metricCommands: Command[] = [
  {
    name: 'metrics',
    usage: 'APP',
    summary: 'Show CPU, memory, restarts, requests and latencies by process and release',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const processes = processFacts(daemon, app)
      const requests = requestFacts(daemon, app)
      const lines = [...processTable(processes), '', ...requestTable(requests)]
      return { lines, json: { app: app.name, processes, requests } }
    },
  },
]

/** Restarts are those of the process within its release. */
function processFacts(daemon: Daemon, app: App) {
  const deaths = daemon.store.deaths(app)
  return daemon.metrics.usage(app.name).map(({ instance, usage, cores }) => {
    const { process, release } = instance
    const last = deaths.find((death) => death.process === process && death.release === release)
    return { process, release: `v${release}`, cores, ...usage, restarts: last?.times ?? 0 }
  })
}

function processTable(processes: ReturnType<typeof processFacts>): string[] {
  const head = ['PROCESS', 'RELEASE', 'CPU', 'MEMORY', 'LIMIT', 'PEAK', 'PIDS', 'RESTARTS']
  const rows = processes.map((one) => [
    one.process,
    one.release,
    `${(one.cores * 100).toFixed(1)} %`,
    mebibytes(one.memoryBytes),
    mebibytes(one.memoryLimitBytes),
    mebibytes(one.memoryPeakBytes),
    String(one.pids),
    String(one.restarts),
  ])
  return columns([head, ...rows])
}

/** One for each process of each release that answered, and the whole app as the last. */
function requestFacts(daemon: Daemon, app: App) {
  const series = daemon.metrics.requests(app.name)
  const all = { total: 0, classes: {} as Record<string, number>, latencies: new Latencies() }
  for (const { total, classes, latencies } of series) {
    all.total += total
    all.latencies.take(latencies)
    for (const [name, count] of Object.entries(classes)) {
      all.classes[name] = (all.classes[name] ?? 0) + count
    }
  }
  return [...series.map(toFacts), toFacts({ process: 'all', release: null, ...all })]
}

function toFacts(one: {
  process: string
  release: number | null
  total: number
  classes: Record<string, number>
  latencies: Latencies
}) {
  return {
    process: one.process,
    release: one.release === null ? null : `v${one.release}`,
    total: one.total,
    classes: one.classes,
    p50Ms: one.latencies.percentile(0.5),
    p95Ms: one.latencies.percentile(0.95),
    p99Ms: one.latencies.percentile(0.99),
  }
}

function requestTable(requests: ReturnType<typeof requestFacts>): string[] {
  const classes = ['2xx', '3xx', '4xx', '5xx']
  const rows = requests.map((one) => [
    one.process,
    one.release ?? '',
    String(one.total),
    ...classes.map((name) => String(one.classes[name] ?? 0)),
    ms(one.p50Ms),
    ms(one.p95Ms),
    ms(one.p99Ms),
  ])
  return columns([['TO', 'RELEASE', 'REQUESTS', ...classes, 'P50', 'P95', 'P99'], ...rows])
}

function ms(value: number | null): string {
  return value === null ? '-' : `${value} ms`
}
