import semver from 'semver'
import type { AptPackages, GitTool, SuiteTool, ToolRequest } from '../buildpack-detect/plan.ts'
import { aptIndex } from '../stack/apt-index.ts'
import type { Base } from '../base/base.ts'
import { missingIn } from '../base/on-base.ts'
import { fetchTool } from '../source/buildpack-source.ts'
import { ensureLayer, hasLayer } from '../layers/layers.ts'
import { type Runtime, type RuntimeContext, runtimes } from './runtime.ts'
import { ensureStack, suite } from '../stack/stack.ts'
import { type Choice, chooseVersion, noVersion } from './versions.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import type { Layer } from '../../core/types.ts'

/** A tool with its version decided: a layer of its own, or Debian packages, or both. */
export type ChosenTool = {
  request: ToolRequest
  choice: Choice
  /** For people: `Python 3.13.5`. */
  label: string
  layer: Layer | undefined
  packages: AptPackages
  /** A directory of programs that steps search first. */
  path?: string
  /** A script that completes the layer of the packages for builds. */
  finish?: string
  /** Environment of the build steps that run with it. */
  buildEnv: Record<string, string>
}

/** Decides the versions of a plan's tools. Failure: one that cannot be had. */
export async function chooseTools(
  requests: ToolRequest[],
  context: RuntimeContext,
): Promise<ChosenTool[]> {
  const chosen: ChosenTool[] = []
  for (const request of requests) chosen.push(await chooseTool(request, context))
  return chosen
}

/** Makes the tools' own layers unless the host has them; `ensureApt` makes those of packages. */
export async function ensureTools(tools: ChosenTool[], context: RuntimeContext): Promise<void> {
  for (const { request, choice, layer } of tools) {
    if (layer && !hasLayer(context.config, layer)) {
      await ensureRuntime(runtimeOf(request), choice.version, context)
    }
  }
}

/** Makes the layer of one version of a runtime unless the host has it. */
export async function ensureRuntime(
  runtime: Runtime,
  version: string,
  context: RuntimeContext,
): Promise<void> {
  const { config, say, signal } = context
  const layer = runtime.layer(version)
  if (hasLayer(config, layer)) return
  const began = performance.now()
  say(`       ${layer.label}: getting it, once per host`)
  const make = (dir: string) => runtime.make(version, dir, context)
  await ensureLayer(config, { layer, signal, make })
  say(`       ${layer.label}: ready (${((performance.now() - began) / 1000).toFixed(1)} s)`)
}

async function chooseTool(request: ToolRequest, context: RuntimeContext): Promise<ChosenTool> {
  if (request.git) return chooseFromGit(request, request.git, context)
  if (request.suite) return chooseFromSuite(request, request.suite, context)
  return chooseFromRuntime(request, runtimeOf(request), context)
}

async function chooseFromRuntime(
  request: ToolRequest,
  runtime: Runtime,
  context: RuntimeContext,
): Promise<ChosenTool> {
  const choice = await runtime.choose(request, context)
  const layer = runtime.layer(choice.version)
  return {
    request,
    choice,
    label: layer.label,
    layer,
    packages: runtime.packages?.(choice.version) ?? { run: [], build: [] },
    buildEnv: runtime.buildEnv(choice.version),
  }
}

/** The commit that a branch, a tag or an address has now. */
async function chooseFromGit(
  request: ToolRequest,
  tool: GitTool,
  context: RuntimeContext,
): Promise<ChosenTool> {
  const { commit, layer } = await fetchTool(context.config, tool, context)
  return {
    request,
    choice: { version: commit, why: tool.shown, warnings: [] },
    label: `${request.tool} ${layer.label}`,
    layer,
    packages: { run: [], build: [] },
    buildEnv: {},
  }
}

function runtimeOf({ tool }: ToolRequest): Runtime {
  const runtime = runtimes[tool]
  if (!runtime) throw new Error(`no runtime "${tool}" in the table`)
  return runtime
}

/** A version among those that the stack's suite has now, or that the base has got installed. */
async function chooseFromSuite(
  request: ToolRequest,
  { name, candidates }: SuiteTool,
  context: RuntimeContext,
): Promise<ChosenTool> {
  const { base } = context
  const versionOf = base ? installedIn(base) : await offeredBySuite(context)
  const offered = candidates.flatMap((candidate) => {
    const version = upstreamVersion(versionOf(candidate.package) ?? '')
    return version ? [{ candidate, version }] : []
  })
  const [first] = offered
  const available = offered.map(({ version }) => version)
  const choice = chooseVersion(request, {
    available,
    isStable: () => true,
    ...(first && {
      preferred: {
        version: first.version,
        why: base ? 'what the base has' : `the default of Debian ${suite}`,
      },
    }),
  })
  const found = offered.find(({ version }) => version === choice?.version)
  if (!choice || !found) {
    const refused = base && !first ? missingIn(base, name) : noVersion(name, request, available)
    return chooseBeyondSuite(request, refused, context)
  }
  return {
    request,
    choice,
    label: `${name} ${choice.version}`,
    layer: undefined,
    packages: { run: found.candidate.run, build: found.candidate.build },
    ...(found.candidate.path !== undefined && { path: found.candidate.path }),
    ...(found.candidate.finish !== undefined && { finish: found.candidate.finish }),
    buildEnv: {},
  }
}

type VersionOf = (name: string) => string | undefined

function installedIn({ packages }: Base): VersionOf {
  const versions = new Map(packages.map(({ name, version }) => [name, version]))
  return (name) => versions.get(name)
}

async function offeredBySuite(context: RuntimeContext): Promise<VersionOf> {
  const { config, say, signal } = context
  await ensureStack(config, say, signal)
  const index = await aptIndex(config, context)
  return (name) => index.version(name)
}

/** What the suite has not may come from the language's own makers. */
async function chooseBeyondSuite(
  request: ToolRequest,
  refused: Failure,
  context: RuntimeContext,
): Promise<ChosenTool> {
  const runtime = runtimes[request.tool]
  if (!runtime) throw refused
  try {
    return await chooseFromRuntime(request, runtime, context)
  } catch (cause) {
    stopIfCancelled(context.signal)
    if (!(cause instanceof Failure)) throw cause
    const known = /^Available: (.*)/.exec(cause.hint ?? '')?.[1]
    const beyond = `Beyond Debian: ${known ?? cause.message}`
    const hint = [beyond, refused.hint].filter(Boolean).join('\n')
    throw new Failure('failed', refused.message, { hint, cause })
  }
}

/** `2:1.24~2+deb13u1` is 1.24.0. Undefined for what is no version. */
export function upstreamVersion(debian: string): string | undefined {
  const upstream = debian.replace(/^\d+:/, '').replace(/[-+~].*$/, '')
  return semver.coerce(upstream)?.version
}
