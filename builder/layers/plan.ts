import { createHash } from 'node:crypto'
import type { Layer } from '../../core/types.ts'
import { type AptLayer, aptLayer } from '../stack/apt.ts'
import type { Base } from '../base/base.ts'
import type { Plan, Step } from '../buildpack-detect/plan.ts'
import type { FileFacts } from '../source/source.ts'
import type { Stacks } from '../stack/stack.ts'
import type { ChosenTool } from '../runtimes/tools.ts'

/** A step with its layer named, and what lies beneath it while it runs, lowest first. */
export type PlannedStep = {
  step: Step
  layer: Layer
  lowers: Layer[]
  /** Whether other apps will find it; else it is the app's alone. */
  sharedByApps: boolean
  /** The files put beneath the step beside the tree, or in its place; undefined for none. */
  manifest: Manifest | undefined
}

/** Files of the tree that are copied as they are, and texts that are written. */
export type Manifest = { layer: Layer; copy: string[]; write: Record<string, string> }

export type LayerPlan = { apt: AptLayer[]; steps: PlannedStep[]; image: Layer[] }

export type LayerInputs = {
  app: string
  /** The app's config: what a step's output may show is part of its key. */
  config: Record<string, string>
  plan: Plan
  stacks: Stacks
  /** What takes the place of both. */
  base: Base | undefined
  tools: ChosenTool[]
  /** The layer of the tree itself. */
  tree: Layer
  /** What is in the files that steps copy, by path. */
  files: Record<string, FileFacts>
  /** Whether a layer that apps could share is to be one: it is there, or can be made untainted. */
  canShare: (layer: Layer) => boolean
  /** Makes every key of a step new: for a build without re-use. */
  salt: string | undefined
}

/** Grows when the way steps run changes, so that layers made the old way are not re-used. */
const format = 3

/** Names every layer of an image from what decides its content. Pure: it looks at no disk. */
export function planLayers(inputs: LayerInputs): LayerPlan {
  const { plan, stacks, base, tools, tree } = inputs
  const apt = {
    run: base ? [] : aptOn(stacks.run, 'run', inputs),
    build: base || plan.steps.length === 0 ? [] : aptOn(stacks.build, 'build', inputs),
  }
  const lowest = base
    ? { run: base.layers, build: base.layers }
    : { run: [stacks.run], build: [stacks.build] }
  const beneath = [...lowest.build, ...layersOf(apt.build), ...layersOfTools(tools)]
  const steps: PlannedStep[] = []
  for (const step of plan.steps) steps.push(planStep(inputs, beneath, step, steps))
  const inImage = steps.filter(({ step }) => step.inImage)
  // What was made without the tree lies beneath it; what was made on top of it stays on top.
  const below = inImage.filter(({ step }) => step.inputs.kind === 'files')
  const above = inImage.filter(({ step }) => step.inputs.kind === 'tree')
  const runTools = layersOfTools(tools.filter(({ request }) => request.inImage))
  const found = [...lowest.run, ...layersOf(apt.run), ...runTools]
  const image = [...found, ...layersOf(below), tree, ...layersOf(above)]
  return { apt: [...apt.run, ...apt.build], steps, image }
}

/** The files and directories whose facts `planLayers` wants. */
export function copiedBySteps(plan: Plan): string[] {
  const copied = plan.steps.flatMap(({ inputs }) => (inputs.kind === 'files' ? inputs.copy : []))
  return [...new Set(copied)]
}

function layersOf(planned: { layer: Layer }[]): Layer[] {
  return planned.map(({ layer }) => layer)
}

function layersOfTools(tools: ChosenTool[]): Layer[] {
  return tools.flatMap(({ layer }) => (layer ? [layer] : []))
}

/** Debian packages: one layer of the tools and the language, and the user's own on top of it. */
function aptOn(stack: Layer, use: 'run' | 'build', { plan, tools }: LayerInputs): AptLayer[] {
  const used = use === 'build' ? tools : tools.filter(({ request }) => request.inImage)
  const packages = [...used.flatMap((tool) => tool.packages[use]), ...plan.apt[use]]
  const versions = used
    .filter((tool) => !tool.layer && tool.packages[use].length > 0)
    .map(({ request, choice }) => `${request.tool} ${choice.version}`)
  const finish = use === 'build' ? used.flatMap((tool) => tool.finish ?? []) : []
  const first = aptLayer([stack], packages, versions, finish)
  const second = aptLayer(first ? [stack, first.layer] : [stack], plan.userApt)
  return [first, second].filter((one) => one !== undefined)
}

/** What a step sees of the app's config. */
export function visibleConfig(step: Step, config: Record<string, string>): Record<string, string> {
  const named = step.configKeys.filter((key) => key in config)
  const secrets = Object.fromEntries(named.map((key) => [key, config[key] ?? '']))
  return { ...secrets, ...Object.fromEntries(publicConfig(step, config)) }
}

function publicConfig(step: Step, config: Record<string, string>): [string, string][] {
  return Object.entries(config)
    .filter(([key]) => step.configPrefixes.some((prefix) => key.startsWith(prefix)))
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

function planStep(
  inputs: LayerInputs,
  beneath: Layer[],
  step: Step,
  earlier: PlannedStep[],
): PlannedStep {
  const manifest = manifestOf(inputs, step)
  const on = earlier.filter((planned) => step.on.includes(planned.step.name))
  const tree = step.inputs.kind === 'tree' ? [inputs.tree] : []
  const lowers = [
    ...beneath,
    ...on.map(({ layer }) => layer),
    ...tree,
    ...(manifest ? [manifest.layer] : []),
  ]
  const named = (app: string): Layer => {
    const key = hash([
      format,
      step.argv,
      step.env,
      publicConfig(step, inputs.config),
      inputs.tools.map(({ buildEnv }) => buildEnv),
      lowers.map((layer) => layer.key),
      app,
      inputs.salt ?? '',
      ...(inputs.base ? [inputs.base.env] : []),
    ])
    return { kind: step.kind, key: `${step.kind}-${key}`, label: step.name }
  }
  const shared = named('')
  // What a token opens is for those who have it.
  const isOpen = step.shareable && step.configKeys.every((name) => !(name in inputs.config))
  const sharedByApps = isOpen && (step.checksCache === true || inputs.canShare(shared))
  return { step, layer: sharedByApps ? shared : named(inputs.app), lowers, sharedByApps, manifest }
}

function manifestOf({ files }: LayerInputs, { inputs }: Step): PlannedStep['manifest'] {
  const { write = {} } = inputs
  const copied = inputs.kind === 'files' ? inputs.copy : []
  const copy = Object.keys(files)
    .filter((path) => copied.some((one) => one === path || isBelow(one, path)))
    .filter((path) => !(path in write))
    .sort()
  if (inputs.kind === 'tree' && Object.keys(write).length === 0) return undefined
  const facts = copy.map((path) => [path, files[path]?.sha256, files[path]?.executable])
  const layer: Layer = {
    kind: 'app',
    key: `manifest-${hash([facts, Object.entries(write)])}`,
    label: 'manifest',
  }
  return { layer, copy, write }
}

function isBelow(directory: string, path: string): boolean {
  return directory.endsWith('/') && path.startsWith(directory)
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32)
}
