import { chmod, chown, mkdir, rename, rm, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { appUser, limits, type PaasConfig } from '../core/config.ts'
import { errno, Failure, stopIfCancelled } from '../core/errors.ts'
import { newId, paths } from '../core/names.ts'
import type { Layer, Say } from '../core/types.ts'
import { exec } from '../core/exec.ts'
import { configTarget } from './buildpack-detect/buildpack-driver.ts'
import { cacheTarget, type Step } from './buildpack-detect/plan.ts'
import { type Manifest, type PlannedStep, visibleConfig } from './layer-plan.ts'
import { ensureLayer, hasLayer } from './layers.ts'
import type { Sandbox, SandboxResult } from './sandbox.ts'
import type { Source } from './source.ts'

export type StepContext = {
  app: string
  config: PaasConfig
  sandbox: Sandbox
  /** The tree, for the files that a step is given without it. */
  source: Source
  /** The app's own config, of which a step sees the keys that it names. */
  appConfig: Record<string, string>
  /** Environment of every step; asked for only when one will run. */
  buildEnv: () => Promise<Record<string, string>>
  say: Say
  signal: AbortSignal
  deadline: number
}

/**
 * Re-uses or makes the layer of one step, and says which. Failure: the command's exit, in words.
 */
export async function runStep(planned: PlannedStep, context: StepContext): Promise<void> {
  const { config, say, signal } = context
  const { step, layer } = planned
  if (hasLayer(config, layer)) {
    say(`       ${step.name}: re-used (${decidedBy(planned)} unchanged)`)
    return
  }
  const began = performance.now()
  if (planned.manifest) await ensureManifest(context, planned.manifest)
  const outcome = await ensureLayer(config, {
    layer,
    signal,
    madeFrom: planned.lowers.filter(isOwnStep).map(({ key }) => key),
    make: async (dir) => {
      say(`-----> ${step.title}`)
      await makeInSandbox(planned, context, dir)
    },
  })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  say(`       ${step.name}: ${outcome} (${seconds} s)`)
}

function isOwnStep(layer: Layer): boolean {
  return layer.kind === 'dependencies' || layer.kind === 'build'
}

/** The file whose change would make the step run again. */
export function decidedBy({ step }: PlannedStep): string {
  if (step.inputs.kind === 'tree') return 'the source'
  return step.inputs.why
}

async function ensureManifest(
  { config, source, signal }: StepContext,
  { layer, copy, write }: Manifest,
): Promise<void> {
  const make = async (dir: string) => {
    const owned = new Set<string>()
    const copied = copy.map((path) => ({ path, file: source.read(path) }))
    const written = Object.entries(write).map(([path, text]) => {
      return { path, file: { bytes: Buffer.from(text), executable: false } }
    })
    for (const { path, file: content } of [...copied, ...written]) {
      if (!content) continue
      const file = join(dir, 'app', path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, content.bytes, { mode: content.executable ? 0o755 : 0o644 })
      for (let made = file; made !== dir; made = dirname(made)) owned.add(made)
    }
    for (const made of owned) await chown(made, appUser, appUser)
  }
  await ensureLayer(config, { layer, signal, make })
}

async function makeInSandbox(
  { step, lowers }: PlannedStep,
  context: StepContext,
  dir: string,
): Promise<void> {
  const { app, config, say, signal } = context
  const cache = await ensureCache(config, step.shareable ? newId() : app)
  const visible = visibleConfig(step, context.appConfig)
  const files = step.configFiles ? await writeConfig(config, visible) : undefined
  const late = tooLate(step, config)
  using deadline = abortAt(context.deadline, late)
  const run = context.sandbox({
    app,
    layers: lowers,
    argv: step.argv,
    env: { ...(await context.buildEnv()), ...step.env, ...(files ? {} : visible) },
    user: 'app',
    mounts: [
      { source: cache, target: cacheTarget, readOnly: false },
      ...(files === undefined ? [] : [{ source: files, target: configTarget, readOnly: true }]),
    ],
    onLine: (line) => say(`       ${line}`.trimEnd()),
    signal: AbortSignal.any([signal, deadline.signal]),
    timeoutMs: config.buildTimeoutMs + 60_000,
  })
  const result = await run.finally(() => files && rm(files, { recursive: true, force: true }))
  try {
    stopIfCancelled(signal)
    // Looked at before what the command wrote is thrown away, and the disk has room again.
    if (result.code !== 0 && (await isFull(config))) throw stoppedByDisk(step)
    if (result.code !== 0) throw stepFailure(step, result, config)
    // Only /app is of the app; whatever else the command wrote goes with the sandbox.
    await rename(join(result.upper, 'app'), join(dir, 'app')).catch(ifMissing)
    for (const path of step.drop) {
      await rm(join(dir, 'app', path), { recursive: true, force: true })
    }
  } finally {
    await result.discard()
    await (step.shareable ? rm(cache, { recursive: true, force: true }) : boundCache(cache))
  }
}

/** One file a key, for the app user alone. */
async function writeConfig(config: PaasConfig, values: Record<string, string>): Promise<string> {
  const dir = join(paths(config).making, `config-${newId()}`)
  await mkdir(dir, { recursive: true })
  await chmod(dir, 0o700)
  for (const [key, value] of Object.entries(values)) {
    await writeFile(join(dir, key), value, { mode: 0o400 })
    await chown(join(dir, key), appUser, appUser)
  }
  await chown(dir, appUser, appUser)
  return dir
}

/**
 * An app's own, or an empty one for a layer that other apps will share: what an app's scripts left
 * in its cache must not come near that.
 */
async function ensureCache(config: PaasConfig, name: string): Promise<string> {
  const cache = paths(config).buildCache(name)
  await mkdir(cache, { recursive: true, mode: 0o755 })
  await chown(cache, appUser, appUser)
  return cache
}

/** A cache that has outgrown its limit is begun anew: simple, and seldom. */
async function boundCache(cache: string): Promise<void> {
  const { stdout } = await exec('du', ['--summarize', '--block-size=1', '--', cache], {
    timeoutMs: 60_000,
    accept: [0, 1], // 1: a file went away meanwhile
  })
  if (Number.parseInt(stdout, 10) <= limits.buildCacheBytes) return
  const old = `${cache}.${newId()}`
  await rename(cache, old)
  await rm(old, { recursive: true, force: true })
}

function stepFailure(step: Step, result: SandboxResult, config: PaasConfig): Failure {
  if (result.oom) {
    const limit = result.memory?.limitBytes ?? config.buildMemoryBytes
    const used = result.memory?.peakBytes ?? limit
    const seen = `The build used ${ofBytes(used, limit)} of memory`
    return new Failure('failed', `${seen} and was killed in "${step.title}"`, {
      hint: 'Let the build use less, or raise PAAS_BUILD_MEMORY (MiB) on the server',
    })
  }
  return new Failure('failed', `"${step.title}" exited with ${result.code}; its output is above`, {
    hint: step.hint,
  })
}

/** `1.9 of 2.0 GiB`, `200 of 200 MiB` */
function ofBytes(used: number, limit: number): string {
  const small = limit < 1024 ** 3
  const show = (bytes: number) => (bytes / 1024 ** (small ? 2 : 3)).toFixed(small ? 0 : 1)
  return `${show(used)} of ${show(limit)} ${small ? 'MiB' : 'GiB'}`
}

function stoppedByDisk(step: Step): Failure {
  return new Failure('failed', `"${step.title}" filled the disk of the server and was stopped`, {
    hint: 'Who takes the space: disk. To free what nobody needs: images:gc. Then push again',
  })
}

/** A command that has no room for one page more has failed for want of it. */
const fullBytes = 1024 * 1024

async function isFull({ home }: PaasConfig): Promise<boolean> {
  const { bavail, bsize } = await statfs(home)
  return bavail * bsize < fullBytes
}

function tooLate(step: Step, { buildTimeoutMs }: PaasConfig): Failure {
  const minutes = buildTimeoutMs / 60_000
  const limit = minutes < 1 ? `${buildTimeoutMs / 1000} s` : `${Math.round(minutes * 10) / 10} min`
  const seen = `The build took longer than ${limit} and was stopped in "${step.title}"`
  return new Failure('failed', seen, {
    hint: 'Let the build do less, or raise PAAS_BUILD_TIMEOUT (seconds) on the server',
  })
}

/** Aborts with this reason at a time in milliseconds since the epoch. */
function abortAt(deadline: number, reason: Failure): { signal: AbortSignal } & Disposable {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(reason), Math.max(1, deadline - Date.now()))
  return { signal: controller.signal, [Symbol.dispose]: () => clearTimeout(timer) }
}

function ifMissing(error: unknown): void {
  if (errno(error) !== 'ENOENT') throw error
}
