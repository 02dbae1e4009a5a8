import { chown, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser } from '../core/config.ts'
import type { PaasConfig } from '../core/config.ts'
import { stopIfCancelled } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { newId, paths } from '../core/names.ts'
import type { Image, Layer, Say } from '../core/types.ts'
import { detect } from './buildpack-detect/detect.ts'
import type { Plan } from './buildpack-detect/plan.ts'
import { type Commit, extractCommit, readTreeId } from './checkout.ts'
import { filesOfSteps, type LayerPlan, planLayers } from './layer-plan.ts'
import { ensureLayer, hasLayer, pinLayers } from './layers.ts'
import { runtimes } from './runtime.ts'
import type { Sandbox } from './sandbox.ts'
import { openSource, type Source } from './source.ts'
import { ensureStack, stackLayers } from './stack.ts'
import { cacheTarget, decidedBy, runStep } from './step.ts'
import type { Choice } from './versions.ts'

export type BuildRequest = Commit & {
  app: string
  /** The app's config. Steps see what they name; BUILDER chooses how to build. */
  config: Record<string, string>
  /** Makes every layer that a command makes anew. */
  noCache?: boolean
}

export type BuildTools = { config: PaasConfig; sandbox: Sandbox }

/**
 * Turns a commit into an image: read the tree, detect, plan, make or re-use layers. Progress goes to
 * `say`. Throws a Failure in the user's words; aborting `signal` ends whatever runs.
 */
export async function build(
  request: BuildRequest,
  tools: BuildTools,
  say: Say,
  signal: AbortSignal,
): Promise<Image> {
  using pins = pinLayers()
  const { config } = tools
  const deadline = Date.now() + config.buildTimeoutMs
  const tree = await treeLayer(request, signal)
  pins.add(tree.key)
  await ensureTree(request, config, tree, signal)
  const source = openSource(join(paths(config).layer(tree), 'app'))
  const plan = detect(source, request.config.BUILDER)
  say(`-----> ${plan.language} detected (${plan.because})`)
  const choice = await runtimes[plan.tool.tool].choose(plan.tool, { config, say, signal })
  sayPlan(plan, choice, say)
  const layerPlan = nameLayers(request, { plan, choice, source, tree })
  for (const { key } of layerPlan.image) pins.add(key)
  for (const { layer, manifest } of layerPlan.steps) {
    pins.add(layer.key)
    if (manifest) pins.add(manifest.layer.key)
  }
  await ensureStack(config, say, signal)
  await ensureRuntime(plan, choice, { config, say, signal })
  const buildEnv = await environment(plan, choice, signal, layerPlan)
  const context = {
    ...request,
    ...tools,
    appConfig: request.config,
    buildEnv,
    say,
    signal,
    deadline,
  }
  for (const planned of layerPlan.steps) {
    stopIfCancelled(signal)
    await runStep(planned, context)
  }
  for (const [type, command] of Object.entries(plan.processes)) say(`       ${type}: ${command}`)
  const { processes, env, language } = plan
  return { layers: layerPlan.image, processes, env, language }
}

/** What `builds:plan` prints: the plan with versions resolved and every layer named. */
export type PrintedPlan = {
  language: string
  because: string
  versions: { tool: string; version: string; from: string }[]
  layers: { kind: string; key: string; label: string; present: boolean; decidedBy: string }[]
  steps: { name: string; run: string; inputs: string[] | 'tree'; layer: string; present: boolean }[]
  processes: Record<string, string>
  processesFrom: string
  env: Record<string, string>
  warnings: string[]
}

/** The plan of a commit, without building anything. Same failures as `build` up to there. */
export async function planOnly(
  request: BuildRequest,
  tools: Pick<BuildTools, 'config'>,
  say: Say,
  signal: AbortSignal,
): Promise<PrintedPlan> {
  const { config } = tools
  const tree = await treeLayer(request, signal)
  const dir = join(paths(config).making, `plan-${newId()}`)
  try {
    const kept = join(paths(config).layer(tree), 'app')
    const source = openSource(hasLayer(config, tree) ? kept : await extractTo(request, dir, signal))
    const plan = detect(source, request.config.BUILDER)
    const choice = await runtimes[plan.tool.tool].choose(plan.tool, { config, say, signal })
    return printed(config, plan, choice, nameLayers(request, { plan, choice, source, tree }))
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function treeLayer(request: BuildRequest, signal: AbortSignal): Promise<Layer> {
  const tree = await readTreeId(request, signal)
  return { kind: 'app', key: `app-1-${tree}`, label: `source ${request.commit.slice(0, 7)}` }
}

async function ensureTree(
  request: BuildRequest,
  config: PaasConfig,
  layer: Layer,
  signal: AbortSignal,
): Promise<void> {
  const make = async (dir: string) => {
    await extractTo(request, dir, signal)
  }
  await ensureLayer(config, { layer, signal, make })
}

async function extractTo(commit: Commit, dir: string, signal: AbortSignal): Promise<string> {
  const into = join(dir, 'app')
  await mkdir(into, { recursive: true })
  await chown(into, appUser, appUser)
  await extractCommit(commit, into, signal)
  return into
}

function sayPlan(plan: Plan, choice: Choice, say: Say): void {
  const { layer } = runtimes[plan.tool.tool]
  say(`       ${layer(choice.version).label} (${choice.why})`)
  say(`       To choose another: ${plan.tool.choose}`)
  for (const warning of [...choice.warnings, ...plan.warnings]) say(` !     ${warning}`)
}

function nameLayers(
  request: BuildRequest,
  found: { plan: Plan; choice: Choice; source: Source; tree: Layer },
): LayerPlan {
  const { plan, choice, source, tree } = found
  const runtime = runtimes[plan.tool.tool]
  const texts = filesOfSteps(plan).map((path) => [path, source.readText(path) ?? ''])
  return planLayers({
    app: request.app,
    plan,
    stacks: stackLayers(),
    runtime: runtime.layer(choice.version),
    tree,
    files: Object.fromEntries(texts),
    buildEnv: runtime.buildEnv(choice.version),
    salt: request.noCache ? newId() : undefined,
  })
}

async function ensureRuntime(
  plan: Plan,
  choice: Choice,
  context: { config: PaasConfig; say: Say; signal: AbortSignal },
): Promise<void> {
  const { config, say, signal } = context
  const runtime = runtimes[plan.tool.tool]
  const layer = runtime.layer(choice.version)
  if (hasLayer(config, layer)) return
  const began = performance.now()
  say(`       ${layer.label}: getting it, once per host`)
  const make = (dir: string) => runtime.make(choice.version, dir, context)
  await ensureLayer(config, { layer, signal, make })
  say(`       ${layer.label}: ready (${((performance.now() - began) / 1000).toFixed(1)} s)`)
}

/** Environment of every step. The host's registry is asked for only when a step will run. */
async function environment(
  plan: Plan,
  choice: Choice,
  signal: AbortSignal,
  { steps }: LayerPlan,
): Promise<Record<string, string>> {
  if (steps.length === 0) return {}
  const bundle = '/etc/ssl/certs/ca-certificates.crt'
  return {
    CI: 'true',
    HOME: '/tmp',
    LANG: 'C.UTF-8',
    PATH: plan.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    NODE_EXTRA_CA_CERTS: bundle,
    SSL_CERT_FILE: bundle,
    npm_config_audit: 'false',
    npm_config_cache: `${cacheTarget}/npm`,
    npm_config_fund: 'false',
    npm_config_registry: await hostRegistry(signal),
    npm_config_update_notifier: 'false',
    ...runtimes[plan.tool.tool].buildEnv(choice.version),
  }
}

let registry: Promise<string> | undefined

/** The registry that npm is set to use on this host; asked once. */
async function hostRegistry(signal: AbortSignal): Promise<string> {
  registry ??= exec('npm', ['config', 'get', 'registry'], { signal }).then(({ stdout }) =>
    stdout.trim(),
  )
  try {
    return await registry
  } catch (error) {
    registry = undefined
    throw error
  }
}

function printed(
  config: PaasConfig,
  plan: Plan,
  choice: Choice,
  { steps, image }: LayerPlan,
): PrintedPlan {
  const byKey = new Map(steps.map((planned) => [planned.layer.key, decidedBy(planned)]))
  return {
    language: plan.language,
    because: plan.because,
    versions: [{ tool: plan.tool.tool, version: choice.version, from: choice.why }],
    layers: image.map((layer) => ({
      ...layer,
      present: hasLayer(config, layer),
      decidedBy: byKey.get(layer.key) ?? (layer.kind === 'app' ? 'the source' : layer.label),
    })),
    steps: steps.map(({ step, layer }) => ({
      name: step.name,
      run: step.title,
      inputs: step.inputs.kind === 'tree' ? 'tree' : ['package.json', ...step.inputs.copy],
      layer: layer.key,
      present: hasLayer(config, layer),
    })),
    processes: plan.processes,
    processesFrom: plan.processesFrom,
    env: plan.env,
    warnings: [...choice.warnings, ...plan.warnings],
  }
}
