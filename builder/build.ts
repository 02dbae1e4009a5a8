import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { stopIfCancelled } from '../core/errors.ts'
import { newId, paths } from '../core/names.ts'
import type { AppJson } from '../core/app-json.ts'
import type { CronEntry, Image, Layer, Say } from '../core/types.ts'
import { readAppJson, unknownTypes } from './app-json.ts'
import { ensureApt } from './stack/apt.ts'
import { releasedBy } from './steps/buildpack-release.ts'
import type { Base } from './base/base.ts'
import { envOnBase, refuseUnfit } from './base/on-base.ts'
import { detect, otherBuilder } from './buildpack-detect/detect.ts'
import type { ImageTools } from './docker/build.ts'
import { stackName } from './image/own-name.ts'
import { type DockerPlan, planDockerfile } from './docker/plan.ts'
import type { Plan, Step } from './buildpack-detect/plan.ts'
import type { Commit } from './source/checkout.ts'
import { readCron } from './cron.ts'
import { environment } from './steps/environment.ts'
import { copiedBySteps, type LayerPlan, planLayers } from './layers/plan.ts'
import { pinLayers } from './layers/pins.ts'
import { hasLayer } from './layers/layers.ts'
import type { Sandbox } from './sandbox.ts'
import { factsOf, openSource, type Source, type Tree } from './source/source.ts'
import { ensureStack, stackLayers } from './stack/stack.ts'
import { decidedBy, runStep } from './steps/step.ts'
import { type Bounds, boundBuild } from './steps/bounds.ts'
import { dropCache, hasCache, openCaches } from './steps/caches.ts'
import { type ChosenTool, chooseTools, ensureTools } from './runtimes/tools.ts'
import { ensureTree, extractTo, treeLayer } from './source/tree.ts'

export type BuildRequest = Commit & {
  app: string
  /** The app's config. Steps see what they name; BUILDER is a `builder` where none is given. */
  config: Record<string, string>
  /** How to build, in the owner's own words: `detect`, `node`. */
  builder?: string
  /** The folder of the app, in the owner's own words. */
  appDir?: string
  /** What takes the place of the stack, in the owner's own words: the name of an image, `stack`. */
  base?: string
  /** What the app runs now. */
  current?: Image | undefined
  /** Addresses of Heroku buildpacks, in the owner's own words. */
  buildpacks?: string[]
  /** Makes every layer that a command makes anew, with nothing that earlier ones have kept. */
  noCache?: boolean
  /**
   * Called with the directory of the extracted source, before anything is read from it. It may
   * change files there: with it the source layer is this build's own, and nothing made of it is
   * re-used.
   */
  extracted?: (dir: string) => Promise<void>
}

export type BuildTools = { config: PaasConfig; sandbox: Sandbox; images: ImageTools }

/**
 * Turns a commit into an image: read the tree, detect, plan, make or re-use layers. Progress goes
 * to `say`. Throws a Failure in the user's words; aborting `wanted` ends whatever runs.
 */
export async function build(
  request: BuildRequest,
  tools: BuildTools,
  say: Say,
  wanted: AbortSignal,
): Promise<Image> {
  using pins = pinLayers()
  const { config } = tools
  using bounds = boundBuild(config, wanted)
  const { signal } = bounds
  const tree = await treeLayer(request, signal)
  pins.add(tree.key)
  const dir = join(paths(config).layer(tree), 'app')
  const isKept = (await ensureTree(request, config, tree, signal)) === 're-used'
  await request.extracted?.(dir)
  const source = openSource(dir)
  const cron = readCron(source)
  const appJson = readAppJson(source)
  const shared = { ...tools, appConfig: request.config, tree, say, signal, bounds }
  const docker = dockerFor(request, source)
  const { app, base = stackName, noCache = false } = request
  if (docker && base !== stackName) {
    say(` !     The base ${base} says nothing to a Dockerfile: its own FROM does`)
  }
  const image = docker
    ? await (await dockerBuilder()).buildDockerfile(docker, { ...shared, app, noCache })
    : await buildDetected(request, { ...shared, source, isKept, appJson, pins })
  return { ...image, ...(cron && { cron }), ...(appJson && { appJson }) }
}

/** Read when the first Dockerfile comes: a daemon that sees none holds 3 MB less. */
const dockerBuilder = () => import('./docker/build.ts')

type Detected = BuildTools & {
  appConfig: Record<string, string>
  tree: Layer
  /** Whether the tree's layer was there before. */
  isKept: boolean
  source: Tree
  appJson: AppJson | undefined
  pins: ReturnType<typeof pinLayers>
  say: Say
  signal: AbortSignal
  bounds: Bounds
}

/** Builds what a language or buildpacks say. */
async function buildDetected(request: BuildRequest, building: Detected): Promise<Image> {
  const { config, tree, source, appJson, pins, say, signal } = building
  const present = new Set(building.isKept ? [tree.key] : [])
  const plan = detectFor(request, source)
  say(`-----> ${plan.language} detected (${plan.because})`)
  say(`       ${otherBuilder}`)
  const base = await baseOf(request, plan, building)
  for (const { key } of base?.layers ?? []) pins.add(key)
  if (base) sayBase(base, say)
  const tools = await chooseTools(plan.tools, { ...request, config, say, signal, base })
  for (const { layer } of tools) if (layer) pins.add(layer.key)
  sayPlan(plan, tools, say)
  if (request.noCache) await dropCache(config, request.app)
  const found = { plan, tools, source, tree, base }
  const layerPlan = await nameLayers(request, config, found, signal)
  for (const layer of layerPlan.image) {
    pins.add(layer.key)
    if (layer.key !== tree.key && hasLayer(config, layer)) present.add(layer.key)
  }
  for (const { layer, manifest } of layerPlan.steps) {
    pins.add(layer.key)
    if (manifest) pins.add(manifest.layer.key)
  }
  if (!base) await ensureStack(config, say, signal)
  for (const apt of layerPlan.apt) await ensureApt(config, apt, { say, signal })
  await ensureTools(tools, { config, say, signal })
  const buildEnv = () => environment(plan, tools, config, base)
  await using caches = openCaches(config, request.app)
  const context = { ...request, ...building, buildEnv, caches }
  for (const planned of layerPlan.steps) {
    stopIfCancelled(signal)
    await runStep(planned, context)
  }
  const { language, profile } = plan
  const { processes, processesFrom, env } = releasedBy(config, plan, layerPlan)
  for (const type of appJson ? unknownTypes(appJson, processes) : []) {
    say(` !     app.json names the process type "${type}", which ${processesFrom} has not`)
  }
  for (const [type, command] of Object.entries(processes)) {
    say(`       ${type}: ${command} (${processesFrom})`)
  }
  say(`       Layers: ${layerPlan.image.map((layer) => outcome(layer, present)).join(', ')}`)
  return {
    layers: layerPlan.image,
    processes,
    env: base ? envOnBase(base, env) : env,
    language,
    ...(profile && { profile }),
    ...(base && { base: builtOn(base) }),
  }
}

/** Without its highest layer, which is ours and is laid on it anew each time. */
function builtOn({ name, digest, layers, env }: Base): Image['base'] {
  return { name, digest, layers: layers.length - 1, env }
}

/** Undefined for the stack. The owner's word wins over that of the code. */
async function baseOf(
  request: Pick<BuildRequest, 'base' | 'current'>,
  plan: Plan,
  { config, images, say, signal }: Pick<Detected, 'config' | 'images' | 'say' | 'signal'>,
): Promise<Base | undefined> {
  const name = request.base ?? plan.base
  if (name === undefined || name === stackName) return undefined
  const from = request.base === undefined ? 'base in paas.toml' : 'builder:set'
  const { lastBase, takeBase } = await import('./base/base.ts') // for the few, as with Dockerfiles
  const last = request.current && lastBase(request.current)
  return takeBase({ name, from }, { ...images, config, last, say, signal })
}

/** Buildpacks that somebody has set are another choice than a Dockerfile in the tree. */
function dockerFor(request: BuildRequest, source: Source) {
  const { builder, buildpacks = [], appDir, config } = request
  const name = builder ?? config.BUILDER
  const hasOther = buildpacks.length > 0 || config.BUILDPACK_URL
  return name === undefined && hasOther ? undefined : planDockerfile(source, name, appDir)
}

function detectFor(
  { builder, buildpacks = [], appDir, config }: BuildRequest,
  source: Source,
): Plan {
  const { BUILDER, BUILDPACK_URL } = config
  const ofConfig = BUILDPACK_URL ? [BUILDPACK_URL] : []
  const addresses = buildpacks.length > 0 ? buildpacks : ofConfig
  const from = buildpacks.length > 0 ? 'buildpacks:set' : 'the config key BUILDPACK_URL'
  const list = addresses.length > 0 ? { addresses, from } : undefined
  return detect(source, builder ?? BUILDER, list, appDir)
}

function outcome({ key, label }: Layer, present: ReadonlySet<string>): string {
  return `${label} ${present.has(key) ? 're-used' : 'new'}`
}

/** What `builds:plan` prints: the plan with versions resolved and every layer named. */
export type PrintedPlan = {
  language: string
  because: string
  versions: { tool: string; version: string; from: string }[]
  /** The Debian packages of each layer that has some. */
  apt: { layer: string; packages: string[] }[]
  layers: { kind: string; key: string; label: string; present: boolean; decidedBy: string }[]
  steps: { name: string; run: string; inputs: string[] | 'tree'; layer: string; present: boolean }[]
  processes: Record<string, string>
  processesFrom: string
  env: Record<string, string>
  /** What takes the place of the stack, as its name means it now. */
  base: Pick<Base, 'name' | 'from' | 'digest' | 'release'> | null
  warnings: string[]
} & Asked

type Asked = {
  /** What the code's own app.json asks for, where there is one. */
  appJson: AppJson | null
  cron: CronEntry[]
}

/** The plan of a commit, without building anything. Same failures as `build` up to there. */
export async function planOnly(
  request: BuildRequest,
  { config, images }: Pick<BuildTools, 'config' | 'images'>,
  say: Say,
  wanted: AbortSignal,
): Promise<PrintedPlan | (DockerPlan & Asked)> {
  using bounds = boundBuild(config, wanted)
  const { signal } = bounds
  const tree = await treeLayer(request, signal)
  const dir = join(paths(config).making, `plan-${newId()}`)
  try {
    const kept = join(paths(config).layer(tree), 'app')
    const source = openSource(hasLayer(config, tree) ? kept : await extractTo(request, dir, signal))
    const asked: Asked = { appJson: readAppJson(source) ?? null, cron: readCron(source) ?? [] }
    const docker = dockerFor(request, source)
    if (docker) return { ...docker, ...asked }
    const plan = detectFor(request, source)
    const base = await baseOf(request, plan, { config, images, say, signal })
    const tools = await chooseTools(plan.tools, { ...request, config, say, signal, base })
    const found = { plan, tools, source, tree, base }
    const layers = await nameLayers(request, config, found, signal)
    return { ...printed(config, { plan, tools, layers, base }), ...asked }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

function sayBase({ name, release = '', digest, from }: Base, say: Say): void {
  say(`       Base: ${name} ${release}@${digest} (${from})`.replace(' @', '@'))
}

function sayPlan(plan: Plan, tools: ChosenTool[], say: Say): void {
  for (const { label, choice, request } of tools) {
    say(`       ${label} (${choice.why})`)
    say(`       To choose another: ${request.choose}`)
  }
  for (const warning of warningsOf(plan, tools)) say(` !     ${warning}`)
}

function warningsOf(plan: Plan, tools: ChosenTool[]): string[] {
  return [...tools.flatMap(({ choice }) => choice.warnings), ...plan.warnings]
}

async function nameLayers(
  request: BuildRequest,
  config: PaasConfig,
  found: { plan: Plan; tools: ChosenTool[]; source: Tree; tree: Layer; base: Base | undefined },
  signal: AbortSignal,
): Promise<LayerPlan> {
  const { plan, tools, source, tree, base } = found
  if (base) refuseUnfit(base, plan, tools)
  return planLayers({
    app: request.app,
    config: request.config,
    plan,
    stacks: stackLayers(config),
    base,
    tools,
    tree,
    files: await factsOf(source, copiedBySteps(plan), signal),
    canShare: (layer) => hasLayer(config, layer) || !hasCache(config, request.app),
    salt: request.noCache ? newId() : undefined,
  })
}

function printed(
  config: PaasConfig,
  found: { plan: Plan; tools: ChosenTool[]; layers: LayerPlan; base: Base | undefined },
): Omit<PrintedPlan, keyof Asked> {
  const { plan, tools, base } = found
  const { steps, image, apt } = found.layers
  const byKey = new Map(steps.map((planned) => [planned.layer.key, decidedBy(planned)]))
  return {
    language: plan.language,
    because: plan.because,
    versions: tools.map(({ request, choice }) => {
      return { tool: request.tool, version: choice.version, from: choice.why }
    }),
    apt: apt.map(({ layer, packages }) => ({ layer: layer.key, packages })),
    layers: image.map((layer) => ({
      ...layer,
      present: hasLayer(config, layer),
      decidedBy: byKey.get(layer.key) ?? (layer.kind === 'app' ? 'the source' : layer.label),
    })),
    steps: steps.map(({ step, layer }) => ({
      name: step.name,
      run: step.title,
      inputs: inputsOf(step),
      layer: layer.key,
      present: hasLayer(config, layer),
    })),
    processes: plan.processes,
    processesFrom: plan.processesFrom,
    env: base ? envOnBase(base, plan.env) : plan.env,
    base: base ? shownBase(base) : null,
    warnings: warningsOf(plan, tools),
  }
}

function shownBase({ name, from, digest, release }: Base) {
  return { name, from, digest, release }
}

function inputsOf({ inputs }: Step): string[] | 'tree' {
  if (inputs.kind === 'tree') return 'tree'
  return [...new Set([...Object.keys(inputs.write ?? {}), ...inputs.copy])]
}
