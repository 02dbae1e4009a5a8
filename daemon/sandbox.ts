import { join } from 'node:path'
import type { Sandbox } from '../builder/sandbox.ts'
import { Failure } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import { diskUse, limitFiles, releaseScratch } from '../runner/disk-limit.ts'
import { removeScratch, runAttached } from '../runner/run.ts'
import type { Daemon } from './daemon.ts'

/** The builder's sandbox: the runner's attached container, with a build's limits. */
export function openSandbox(daemon: Pick<Daemon, 'config' | 'host' | 'fleet'>): Sandbox {
  const { config, host, fleet } = daemon
  return async (job) => {
    if (job.nested) refuseNested(host.noUserNamespace)
    using placed = fleet.place()
    const { id, address } = placed
    const discard = () => removeScratch(host, id)
    const { buildDiskBytes: diskBytes } = config
    const caches = job.mounts.filter(({ readOnly }) => !readOnly).map(({ source }) => source)
    try {
      for (const cache of caches) await limitFiles(host, cache, diskBytes)
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
          nested: job.nested ?? false,
          mounts: job.mounts,
          limits: {
            memoryBytes: config.buildMemoryBytes,
            cpus: buildCpus,
            pids: buildPids,
            diskBytes,
          },
        },
        { onLine: job.onLine, signal: job.signal, timeoutMs: job.timeoutMs },
        { keepScratch: true },
      )
      const scratch = paths(config).scratch(id)
      const disk = [scratch, ...caches].flatMap((path) => diskUse(host, path) ?? [])
      releaseScratch(host, id) // a layer is made of it
      return {
        code: exit.code,
        oom: exit.oom,
        memory: exit.memory,
        disk,
        upper: join(scratch, 'upper'),
        discard,
      }
    } catch (error) {
      await discard()
      throw error
    }
  }
}

/** Without ids of its own, what makes containers would be root of the host. */
function refuseNested(why: string | undefined): void {
  if (why === undefined) return
  throw new Failure(
    'failed',
    `This server has no user namespaces (${why}), which the build needs`,
    {
      hint: '"doctor" says what the server lacks',
    },
  )
}

const buildCpus = 64 // no ceiling: builds weigh little against whoever else wants the CPU
const buildPids = 4096
