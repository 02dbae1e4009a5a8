import type { Source } from '../source/source.ts'

/**
 * What will be done to build a tree: plain JSON, decided by reading files alone. It names no
 * version and no layer yet; `builder/build.ts` adds those, and `builds:plan` prints both.
 */
export type Plan = {
  language: string
  /** The file that decided the language. */
  because: string
  /** Language runtimes and the like, in the order their layers lie, lowest first. */
  tools: ToolRequest[]
  /** Debian packages that the language wants beyond those of its tools. */
  apt: AptPackages
  /** Debian packages that the user asks for, for builds and at run time. */
  userApt: string[]
  /** In order. Each makes one layer. */
  steps: Step[]
  processes: Record<string, string>
  /** Where the processes come from: `Procfile`, `scripts.start in package.json`. */
  processesFrom: string
  /** Environment of every process, below the app's own config. */
  env: Record<string, string>
  warnings: string[]
  /** The step whose file says, as Heroku's bin/release does, what processes there are besides. */
  release?: { step: string; file: string }
  /** Whether scripts in .profile.d are read before a process starts. */
  profile?: true
  /** The image that takes the place of the stack, where paas.toml names one. */
  base?: string
}

/** A version as someone wrote it: the words, the semver range they mean, and where. */
export type VersionText = { text: string; range: string; from: string }

/** Names of Debian packages: what an app needs to run, and what its build needs. */
export type AptPackages = { run: string[]; build: string[] }

export type ToolRequest = {
  /** A key of the table `runtimes`, or any name for a tool that is Debian packages. */
  tool: string
  /** What the version must satisfy. */
  constraint: VersionText | undefined
  /** What is used when it satisfies the constraint. */
  pin: VersionText | undefined
  /** One line that tells how to choose another version. */
  choose: string
  /** Whether the app needs it at run time; if not, builds alone have it. */
  inImage: boolean
  /** For a tool that comes from the stack's own suite: where from. */
  suite?: SuiteTool
  /** For a tool that is a git repository: the layer has the files of its commit. */
  git?: GitTool
}

/** `ref` is a branch, a tag or a commit; `into` a directory, without the leading slash. */
export type GitTool = { url: string; ref: string; shown: string; into: string }

/** A tool in Debian packages. The first candidate that the suite has is the default. */
export type SuiteTool = { name: string; candidates: SuiteCandidate[] }

/**
 * `package` is the one whose version is the tool's version: `3.13.5-1` is Python 3.13.5. `path` is
 * where its programs are, if not where all are; steps search it first. `finish` is a script that
 * root runs when the packages for builds are installed, once per host and before any user's files.
 */
export type SuiteCandidate = AptPackages & { package: string; path?: string; finish?: string }

export type Step = {
  /** Unique within the plan; what people see: `dependencies`, `npm dependencies`, `build`. */
  name: string
  kind: 'dependencies' | 'build'
  /** For people: `npm ci --omit=dev`. */
  title: string
  argv: string[]
  env: Record<string, string>
  /** Keys of the app's config that the step sees though its output must not show them: tokens. */
  configKeys: string[]
  /** Beginnings of config keys whose values the step may write into its output. */
  configPrefixes: string[]
  /** The step has that config as files in `configTarget`, and none of it as environment. */
  configFiles?: true
  inputs: StepInputs
  /** Names of earlier steps whose layers lie beneath. */
  on: string[]
  inImage: boolean
  /** Whether two apps with the same inputs may share the layer: whoever makes it gets the same. */
  shareable: boolean
  /**
   * Whether all that it takes from the app's cache is checked against hashes among its inputs, and
   * no script of theirs is run.
   */
  checksCache?: true
  /** Paths below /app that the step may write and no layer should keep. */
  drop: string[]
  /** What to do when the step fails. */
  hint: string
}

/**
 * What decides a step's result: the whole tree, or a few files of it. `copy` names files, and with
 * a trailing slash directories with all that is in them. `write` are texts that stand in for files
 * of the tree while the step runs. `why` says what a change of which runs the step again.
 */
export type StepInputs =
  | { kind: 'tree'; why: string; write?: Record<string, string> }
  | { kind: 'files'; why: string; copy: string[]; write?: Record<string, string> }

/** Where a build finds what earlier builds of the app downloaded. Bounded, and of the app alone. */
export const cacheTarget = '/var/cache/build'

export const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** One language: learn one, know all. */
export type Detector = {
  language: string
  /** For the error that lists what could have been: `Node: package.json`. */
  looksFor: string
  /** The file that says a tree is of this language, or undefined. */
  detect(source: Source): string | undefined
  /** Throws a Failure when the language is there and cannot be built. */
  plan(source: Source, around: Surroundings): LanguagePlan
}

/** What is known of an app beside its own folder. */
export type Surroundings = {
  /** The whole repository. */
  root: Source
  /** The app's folder in it, without slashes at its ends; empty for the root. */
  folder: string
  /** What a Procfile or paas.toml says to start, which takes the place of the language's own. */
  processes: Record<string, string> | undefined
  /** What paas.toml says to build with, in the place of the language's own steps. */
  buildCommand: string | undefined
}

/** A plan but for its processes: a Procfile takes the place of `web`. */
export type LanguagePlan = Pick<
  Plan,
  'tools' | 'steps' | 'env' | 'warnings' | 'release' | 'profile'
> & {
  /** Steps and paths are of the repository, and not of the app's folder. */
  ofRepository?: true
  apt?: AptPackages
  web: { command: string; from: string } | undefined
  /** How to say what to start, when neither the language nor a Procfile does. */
  howToStart: string
}
