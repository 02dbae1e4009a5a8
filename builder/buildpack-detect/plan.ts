import type { Source } from '../source.ts'

/**
 * What will be done to build a tree: plain JSON, decided by reading files alone. It names no
 * version and no layer yet; `builder/build.ts` adds those, and `builds:plan` prints both.
 */
export type Plan = {
  language: string
  /** The file that decided the language. */
  because: string
  tool: ToolRequest
  /** In order. Each makes one layer. */
  steps: Step[]
  processes: Record<string, string>
  /** Where the processes come from: `Procfile`, `scripts.start in package.json`. */
  processesFrom: string
  /** Environment of every process, below the app's own config. */
  env: Record<string, string>
  warnings: string[]
}

/** A version as someone wrote it: the words, the semver range they mean, and where. */
export type VersionText = { text: string; range: string; from: string }

export type ToolRequest = {
  tool: 'node' | 'caddy'
  /** What the version must satisfy. */
  constraint: VersionText | undefined
  /** What is used when it satisfies the constraint. */
  pin: VersionText | undefined
  /** One line that tells how to choose another version. */
  choose: string
}

export type Step = {
  name: 'dependencies' | 'build dependencies' | 'build'
  /** For people: `npm ci --omit=dev`. */
  title: string
  argv: string[]
  env: Record<string, string>
  /** Keys of the app's config that the step sees though its output must not show them: tokens. */
  configKeys: string[]
  /** Beginnings of config keys whose values the step may write into its output. */
  configPrefixes: string[]
  inputs: StepInputs
  /** Names of earlier steps whose layers lie beneath. */
  on: Step['name'][]
  inImage: boolean
  /** Whether two apps with the same inputs may share the layer. */
  shareable: boolean
  /** Paths below /app that the step may write and no layer should keep. */
  drop: string[]
  /** What to do when the step fails. */
  hint: string
}

/**
 * What decides a step's result: the whole tree, or a few files of it. `manifest` stands in for the
 * tree's package.json while the step runs.
 */
export type StepInputs =
  | { kind: 'tree'; why: string; manifest?: Record<string, unknown> }
  | { kind: 'files'; copy: string[]; manifest: Record<string, unknown> }

/** One language: learn one, know all. */
export type Detector = {
  language: string
  /** For the error that lists what could have been: `Node: package.json`. */
  looksFor: string
  /** The file that says a tree is of this language, or undefined. */
  detect(source: Source): string | undefined
  plan(source: Source): LanguagePlan
}

/** A plan but for its processes: a Procfile takes the place of `web`. */
export type LanguagePlan = Pick<Plan, 'tool' | 'steps' | 'env' | 'warnings'> & {
  web: { command: string; from: string } | undefined
  /** How to say what to start, when neither the language nor a Procfile does. */
  howToStart: string
}
