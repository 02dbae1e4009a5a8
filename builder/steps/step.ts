import { chmod, chown, copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { appUser, type PaasConfig } from '../../core/config.ts'
import { stopIfCancelled } from '../../core/errors.ts'
import { newId, paths } from '../../core/names.ts'
import type { Layer, Say } from '../../core/types.ts'
import { configTarget } from '../buildpack-detect/buildpack-driver.ts'
import { cacheTarget } from '../buildpack-detect/plan.ts'
import { isInside } from '../source/inside.ts'
import { type Manifest, type PlannedStep, visibleConfig } from '../layers/plan.ts'
import { ensureLayer, hasLayer } from '../layers/layers.ts'
import { compiledNpm } from './npm-compiled.ts'
import { withoutNpmUsage } from './npm-words.ts'
import type { Sandbox, SandboxResult } from '../sandbox.ts'
import { type Bounds, filledDisk, isFull, saysHeapIsFull, stepFailure } from './bounds.ts'
import type { StepCaches } from './caches.ts'
import type { Tree } from '../source/source.ts'

export type StepContext = {
  app: string
  config: PaasConfig
  sandbox: Sandbox
  /** The tree, for the files that a step is given without it. */
  source: Tree
  /** The app's own config, of which a step sees the keys that it names. */
  appConfig: Record<string, string>
  /** Environment of every step; asked for only when one will run. */
  buildEnv: () => Promise<Record<string, string>>
  caches: StepCaches
  say: Say
  signal: AbortSignal
  bounds: Bounds
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
    const placeOf = async (path: string) => {
      const file = join(dir, 'app', path)
      await mkdir(dirname(file), { recursive: true })
      for (let made = file; made !== dir; made = dirname(made)) owned.add(made)
      return file
    }
    for (const path of copy) {
      const from = source.file(path)
      if (!from) continue
      const file = await placeOf(path)
      await copyFile(from.at, file)
      await chmod(file, from.executable ? 0o755 : 0o644)
      stopIfCancelled(signal)
    }
    for (const [path, text] of Object.entries(write)) await writeFile(await placeOf(path), text)
    for (const made of owned) await chown(made, appUser, appUser)
  }
  await ensureLayer(config, { layer, signal, make })
}

async function makeInSandbox(
  planned: PlannedStep,
  context: StepContext,
  dir: string,
): Promise<void> {
  const { step } = planned
  using here = context.bounds.during(step)
  void here
  const cache = await context.caches.open(planned)
  try {
    const result = await runInSandbox(planned, context, cache)
    try {
      stopIfCancelled(context.signal)
      // Looked at before what the command wrote is thrown away, and the disk has room again.
      if (result.code !== 0 && (await isFull(context.config))) throw filledDisk(step)
      if (result.code !== 0) throw stepFailure(step, result, context.config)
      // Only /app is of the app; whatever else the command wrote goes with the sandbox.
      const app = join(dir, 'app')
      if (await isInside(result.upper, 'app')) await rename(join(result.upper, 'app'), app)
      for (const path of step.drop) {
        if (await isInside(app, dirname(path))) await rm(join(app, path), removal)
      }
    } finally {
      await result.discard()
    }
  } finally {
    await context.caches.done(cache)
  }
}

/** What Node compiles in a sandbox has no second use. */
const keepNothing = { NODE_DISABLE_COMPILE_CACHE: '1' }

async function runInSandbox(
  { step, lowers }: PlannedStep,
  context: StepContext,
  cache: string,
): Promise<SandboxResult> {
  const { app, config, say, signal } = context
  const visible = visibleConfig(step, context.appConfig)
  const buildEnv = { ...(await context.buildEnv()) }
  // It runs nothing of the app's and needs no larger heap; the flag has Node compile itself anew.
  if (step.checksCache) delete buildEnv.NODE_OPTIONS
  const isNpm = step.title.startsWith('npm ')
  const npm = isNpm ? await compiledNpm({ ...context, lowers, env: buildEnv }) : undefined
  const files = step.configFiles ? await writeConfig(config, visible) : undefined
  let heapWasFull = false
  const run = context.sandbox({
    app,
    layers: npm ? [...lowers, npm] : lowers,
    argv: step.argv,
    env: { ...buildEnv, ...(npm ? {} : keepNothing), ...step.env, ...(files ? {} : visible) },
    user: 'app',
    mounts: [
      { source: cache, target: cacheTarget, readOnly: false },
      ...(files === undefined ? [] : [{ source: files, target: configTarget, readOnly: true }]),
    ],
    onLine: withoutNpmUsage((line) => {
      heapWasFull ||= saysHeapIsFull(line)
      say(`       ${line}`.trimEnd())
    }),
    signal,
    timeoutMs: config.buildTimeoutMs + 60_000,
  })
  const result = await run.finally(() => files && rm(files, { recursive: true, force: true }))
  return { ...result, oom: result.oom || (result.code !== 0 && heapWasFull) }
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

const removal = { recursive: true, force: true }
