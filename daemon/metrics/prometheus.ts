import { Failure } from '../../core/errors.ts'
import { http } from '../../core/http.ts'
import { logError } from '../../core/log.ts'
import type { Daemon } from '../daemon.ts'

/** What Prometheus scrapes: all that `metrics` tells, of all apps, on the loopback alone. */

const bucketsSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** The library is loaded here, so that whoever does not want it does not pay for it. */
export async function openPrometheus(daemon: Daemon, port: number): Promise<Disposable> {
  const { Registry } = await import('prom-client')
  const registry = new Registry()
  await registerRequests(daemon, registry)
  await registerProcesses(daemon, registry)
  const server = http.createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end('GET /metrics\n')
      return
    }
    registry
      .metrics()
      .then((text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text))
      .catch((error: unknown) => {
        logError('metrics-failed', error)
        response.writeHead(500).end()
      })
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', (cause) =>
    reject(new Failure('failed', `Cannot listen on PAAS_METRICS_PORT ${port}`, { cause })),
  )
  server.listen({ port, host: '127.0.0.1' }, resolve)
  await promise
  return {
    [Symbol.dispose]: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

type Registry = InstanceType<(typeof import('prom-client'))['Registry']>

async function registerRequests({ metrics, store }: Daemon, registry: Registry): Promise<void> {
  const { Counter, Histogram } = await import('prom-client')
  const registers = [registry]
  void new Counter({
    name: 'paas_requests_total',
    help: 'Requests that the router has answered, by class of status',
    labelNames: ['app', 'process', 'release', 'class'],
    registers,
    collect() {
      this.reset()
      for (const { app, process, release, classes } of metrics.requests()) {
        for (const [name, count] of Object.entries(classes)) {
          this.inc({ app, process, release: `v${release}`, class: name }, count)
        }
      }
    },
  })
  const seen = new Map<string, { app: string; process: string }>()
  const durations = new Histogram({
    name: 'paas_request_duration_seconds',
    help: 'How long the router took for requests, from the first byte in to the last out',
    labelNames: ['app', 'process'],
    buckets: bucketsSeconds,
    registers,
    collect() {
      for (const [key, labels] of seen) {
        if (store.findApp(labels.app)) continue
        this.remove(labels)
        seen.delete(key)
      }
    },
  })
  metrics.listen(({ app, process }, { ms }) => {
    seen.set(`${app}/${process}`, { app, process })
    durations.observe({ app, process }, ms / 1000)
  })
}

async function registerProcesses({ metrics }: Daemon, registry: Registry): Promise<void> {
  const { Counter, Gauge } = await import('prom-client')
  const registers = [registry]
  const labelNames = ['app', 'process', 'release']
  const gauges = [
    ['cpu_seconds', 'CPU time used since the start of the process', 'cpuSeconds'],
    ['memory_bytes', 'Memory in use', 'memoryBytes'],
    ['memory_limit_bytes', 'Memory that may be used', 'memoryLimitBytes'],
    ['memory_peak_bytes', 'The most memory that was ever in use', 'memoryPeakBytes'],
    ['pids', 'Processes and threads', 'pids'],
  ] as const
  for (const [name, help, field] of gauges) {
    void new Gauge({
      name: `paas_process_${name}`,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const { instance, usage } of metrics.usage()) {
          const { app, process, release } = instance
          this.set({ app, process, release: `v${release}` }, usage[field])
        }
      },
    })
  }
  void new Counter({
    name: 'paas_process_deaths_total',
    help: 'Processes that ended and should have gone on, by cause: memory, exit, signal, check',
    labelNames: ['app', 'process', 'cause'],
    registers,
    collect() {
      this.reset()
      for (const { count, ...labels } of metrics.deaths()) this.inc(labels, count)
    },
  })
}
