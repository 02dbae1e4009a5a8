import { createHash } from 'node:crypto'
import type { Layer } from '../core/types.ts'
import type { Plan, Step } from './buildpack-detect/plan.ts'
import type { Stacks } from './stack.ts'

/** A step with its layer named, and what lies beneath it while it runs, lowest first. */
export type PlannedStep = {
  step: Step
  layer: Layer
  lowers: Layer[]
  /** The files put beneath the step beside the tree, or in its place; undefined for none. */
  manifest: { layer: Layer; files: Record<string, string> } | undefined
}

export type LayerPlan = { steps: PlannedStep[]; image: Layer[] }

export type LayerInputs = {
  app: string
  /** The app's config: what a step's output may show is part of its key. */
  config: Record<string, string>
  plan: Plan
  stacks: Stacks
  runtime: Layer
  /** The layer of the tree itself. */
  tree: Layer
  /** Texts of the files that steps copy. */
  files: Record<string, string>
  buildEnv: Record<string, string>
  /** Makes every key of a step new: for a build without re-use. */
  salt: string | undefined
}

/** Grows when the way steps run changes, so that layers made the old way are not re-used. */
const format = 2

/** Names every layer of an image from what decides its content. Pure: it looks at no disk. */
export function planLayers(inputs: LayerInputs): LayerPlan {
  const { plan, stacks, runtime, tree } = inputs
  const steps: PlannedStep[] = []
  for (const step of plan.steps) steps.push(planStep(inputs, step, steps))
  const inImage = steps.filter(({ step }) => step.inImage)
  // What was made without the tree lies beneath it; what was made on top of it stays on top.
  const below = inImage.filter(({ step }) => step.inputs.kind === 'files')
  const above = inImage.filter(({ step }) => step.inputs.kind === 'tree')
  const layersOf = (planned: PlannedStep[]) => planned.map(({ layer }) => layer)
  return { steps, image: [stacks.run, runtime, ...layersOf(below), tree, ...layersOf(above)] }
}

/** The files whose texts `planLayers` wants. */
export function filesOfSteps(plan: Plan): string[] {
  const copied = plan.steps.flatMap(({ inputs }) => (inputs.kind === 'files' ? inputs.copy : []))
  return [...new Set(copied)]
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

function planStep(inputs: LayerInputs, step: Step, earlier: PlannedStep[]): PlannedStep {
  const manifest = manifestOf(inputs, step)
  const on = earlier.filter((planned) => step.on.includes(planned.step.name))
  const beneath = on.map(({ layer }) => layer)
  const tree = step.inputs.kind === 'tree' ? [inputs.tree] : []
  const lowers = [
    inputs.stacks.build,
    inputs.runtime,
    ...beneath,
    ...tree,
    ...(manifest ? [manifest.layer] : []),
  ]
  const key = hash([
    format,
    step.argv,
    step.env,
    publicConfig(step, inputs.config),
    inputs.buildEnv,
    lowers.map((layer) => layer.key),
    step.shareable ? '' : inputs.app,
    inputs.salt ?? '',
  ])
  const kind = step.name === 'build' ? 'build' : 'dependencies'
  const layer: Layer = { kind, key: `${kind}-${key}`, label: step.name }
  return { step, layer, lowers, manifest }
}

function manifestOf({ files }: LayerInputs, step: Step): PlannedStep['manifest'] {
  const { manifest } = step.inputs
  if (manifest === undefined) return undefined
  const copy = step.inputs.kind === 'files' ? step.inputs.copy : []
  const copies = copy.map((path): [string, string] => [path, files[path] ?? ''])
  const all = { ...Object.fromEntries(copies), 'package.json': `${JSON.stringify(manifest)}\n` }
  const layer: Layer = { kind: 'app', key: `manifest-${hash(all)}`, label: 'manifest' }
  return { layer, files: all }
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32)
}
