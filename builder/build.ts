import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { stopIfCancelled } from '../core/errors.ts'
import { newId, paths } from '../core/names.ts'
import type { Image, Layer, Say } from '../core/types.ts'
import { readAppJson, unknownTypes } from './app-json.ts'
import { detect } from './buildpack-detect/detect.ts'
import type { Plan } from './buildpack-detect/plan.ts'
import type { Commit } from './checkout.ts'
import { readCron } from './cron.ts'
import { environment } from './environment.ts'
import { filesOfSteps, type LayerPlan, planLayers } from './layer-plan.ts'
import { ensureLayer, hasLayer, pinLayers } from './layers.ts'
import { runtimes } from './runtime.ts'
import type { Sandbox } from './sandbox.ts'
import { openSource, type Source } from './source.ts'
import { ensureStack, stackLayers } from './stack.ts'
import { decidedBy, runStep } from './step.ts'
import { ensureTree, extractTo, treeLayer } from './tree.ts'
import type { Choice } from './versions.ts'

export type BuildRequest = Commit & {
  app: string
  /** The app's config. Steps see what they name; BUILDER chooses how to build. */
  config: Record<string, string>
  /** Makes every layer that a command makes anew. */
  noCache?: boolean
  /**
   * Called with the directory of the extracted source, before anything is read from it. It may
   * change files there: with it the source layer is this build's own, and nothing made of it is
   * re-used.
   */
  extracted?: (dir: string) => Promise<void>
}

export type BuildTools = { config: PaasConfig; sandbox: Sandbox }

/**
 * Turns a commit into an image: read the tree, detect, plan, make or re-use layers. Progress goes
 * to `say`. Throws a Failure in the user's words; aborting `signal` ends whatever runs.
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
  const dir = join(paths(config).layer(tree), 'app')
  const present = new Set<string>()
  if ((await ensureTree(request, config, tree, signal)) === 're-used') present.add(tree.key)
  await request.extracted?.(dir)
  const source = openSource(dir)
  const plan = detect(source, request.config.BUILDER)
  const cron = readCron(source)
  const appJson = readAppJson(source)
  say(`-----> ${plan.language} detected (${plan.because})`)
  const choice = await runtimes[plan.tool.tool].choose(plan.tool, { config, say, signal })
  sayPlan(plan, choice, say)
  for (const type of appJson ? unknownTypes(appJson, plan.processes) : []) {
    say(` !     app.json names the process type "${type}", which ${plan.processesFrom} has not`)
  }
  const layerPlan = nameLayers(request, { plan, choice, source, tree })
  for (const layer of layerPlan.image) {
    pins.add(layer.key)
    if (layer.key !== tree.key && hasLayer(config, layer)) present.add(layer.key)
  }
  for (const { layer, manifest } of layerPlan.steps) {
    pins.add(layer.key)
    if (manifest) pins.add(manifest.layer.key)
  }
  await ensureStack(config, say, signal)
  await ensureRuntime(plan, choice, { config, say, signal })
  const buildEnv = () => environment(plan, choice)
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
  const { processes, processesFrom, env, language } = plan
  for (const [type, command] of Object.entries(processes)) {
    say(`       ${type}: ${command} (${processesFrom})`)
  }
  say(`       Layers: ${layerPlan.image.map((layer) => outcome(layer, present)).join(', ')}`)
  const asked = { ...(cron && { cron }), ...(appJson && { appJson }) }
  return { layers: layerPlan.image, processes, env, language, ...asked }
}

function outcome({ key, label }: Layer, present: ReadonlySet<string>): string {
  return `${label} ${present.has(key) ? 're-used' : 'new'}`
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
  tools: BuildTools,
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
    config: request.config,
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
