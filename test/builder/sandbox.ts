import { join } from 'node:path'
import type { Sandbox, SandboxJob } from '../../builder/sandbox.ts'
import { shellArgv } from '../../daemon/fleet/processes.ts'
import type { PaasConfig } from '../../core/config.ts'
import { newId, paths } from '../../core/names.ts'
import type { Image, InstanceSpec } from '../../core/types.ts'
import { nextAddress } from '../../runner/address.ts'
import { type Host, openHost } from '../../runner/host.ts'
import { removeScratch, runAttached } from '../../runner/run.ts'

const hosts = new Map<string, Promise<Host>>()
const used = new Set<string>()

/** The machine as the runner prepares it for an instance, once. */
export function hostOf(config: PaasConfig): Promise<Host> {
  const known = hosts.get(config.home) ?? openHost(config)
  hosts.set(config.home, known)
  return known
}

/** The hosts that tests have opened, for closing them. */
export function openedHost(config: PaasConfig): Promise<Host> | undefined {
  return hosts.get(config.home)
}

/** The builder's sandbox over the real runner. */
export function sandboxOf(config: PaasConfig): Sandbox {
  return async (job) => {
    const host = await hostOf(config)
    const spec = specOf(config, job, { kind: 'build', memoryBytes: config.buildMemoryBytes })
    const discard = () => removeScratch(host, spec.id)
    try {
      const { onLine, signal, timeoutMs } = job
      const io = { onLine, signal, timeoutMs }
      const { code, oom, memory } = await runAttached(host, spec, io, { keepScratch: true })
      return { code, oom, memory, upper: join(paths(config).scratch(spec.id), 'upper'), discard }
    } catch (error) {
      await discard()
      throw error
    }
  }
}

/** Runs an image's web process until `signal`; resolves with its address at once. */
export async function runWeb(
  config: PaasConfig,
  image: Image,
  signal: AbortSignal,
): Promise<{ address: string; ended: Promise<unknown> }> {
  const host = await hostOf(config)
  const job = {
    app: 'served',
    layers: image.layers,
    argv: shellArgv(image.processes.web ?? ''),
    env: image.env,
    user: 'app' as const,
    mounts: [],
  }
  const spec = specOf(config, job, { kind: 'app', memoryBytes: 512 * 1024 * 1024 })
  const io = { onLine: () => {}, signal, timeoutMs: 60_000 }
  const ended = runAttached(host, spec, io).catch(() => {})
  return { address: spec.address, ended }
}

function specOf(
  config: PaasConfig,
  job: Pick<SandboxJob, 'app' | 'layers' | 'argv' | 'env' | 'user' | 'nested' | 'mounts'>,
  { kind, memoryBytes }: { kind: 'build' | 'app'; memoryBytes: number },
): InstanceSpec {
  const address = nextAddress(config.subnet, used)
  used.add(address)
  const { app, layers, argv, env, user, nested = false, mounts } = job
  return {
    app,
    layers,
    argv,
    env,
    user,
    nested,
    mounts,
    id: newId(),
    process: 'build.1',
    release: 0,
    address,
    kind,
    limits: { memoryBytes, cpus: 64, pids: 4096 },
  }
}
