import { join } from 'node:path'
import type { Sandbox } from '../builder/sandbox.ts'
import { paths } from '../core/names.ts'
import { removeScratch, runAttached } from '../runner/run.ts'
import type { Daemon } from './daemon.ts'

/** The builder's sandbox: the runner's attached container, with a build's limits. */
export function openSandbox(daemon: Pick<Daemon, 'config' | 'host' | 'fleet'>): Sandbox {
  const { config, host, fleet } = daemon
  return async (job) => {
    using placed = fleet.place()
    const { id, address } = placed
    const discard = () => removeScratch(host, id)
    try {
      const exit = await runAttached(
        host,
        {
          id,
          address,
          app: job.app,
          process: 'build.1',
          release: 0,
          kind: 'build',
          layers: job.layers,
          argv: job.argv,
          env: job.env,
          user: job.user,
          mounts: job.mounts,
          limits: { memoryBytes: config.buildMemoryBytes, cpus: buildCpus, pids: buildPids },
        },
        { onLine: job.onLine, signal: job.signal, timeoutMs: job.timeoutMs },
        { keepScratch: true },
      )
      return {
        code: exit.code,
        oom: exit.oom,
        memory: exit.memory,
        upper: join(paths(config).scratch(id), 'upper'),
        discard,
      }
    } catch (error) {
      await discard()
      throw error
    }
  }
}

const buildCpus = 64 // no ceiling: builds weigh little against whoever else wants the CPU
const buildPids = 4096
