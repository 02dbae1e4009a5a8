import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { newId, paths } from '../../core/names.ts'
import type { Image, Layer, Say } from '../../core/types.ts'
import type { LayerWork } from '../image/layer-work.ts'
import { readLayout } from '../image/import.ts'
import type { OwnName } from '../image/own-name.ts'
import { readNote } from '../image/notes.ts'
import type { RegistryAccess } from '../image/registry-door.ts'
import { type ForeignImage, planLayers, takeImage } from '../image/take.ts'
import { pinLayers } from '../layers/pins.ts'
import { hasLayer } from '../layers/layers.ts'
import type { Sandbox, SandboxJob, SandboxResult } from '../sandbox.ts'
import { type Bounds, type Command, filledDisk, isFull, stepFailure } from '../steps/bounds.ts'
import { stackLayers } from '../stack/stack.ts'
import { basesTarget, fetchBases, isRenamed, storageNames } from './bases.ts'
import { boundCache, type Cache, dropCache, openCache } from './cache.ts'
import { hollowOut, isWhole, layHollow, layoutImage, type Read, requireLayout } from './layout.ts'
import type { DockerPlan } from './plan.ts'
import { argsTarget, buildJob, ensureTool, pullJob, storageTarget } from './tool.ts'
import { openWords } from './words.ts'

/** What builds of Dockerfiles need beyond a sandbox. */
export type ImageTools = {
  /** What is known of a registry. */
  access: (host: string) => RegistryAccess
  /** The image of a release here. Failure: there is none. */
  release: (name: OwnName) => { version: number; image: Image }
  openWork: (signal: AbortSignal) => LayerWork & AsyncDisposable
}

export type DockerContext = {
  app: string
  config: PaasConfig
  sandbox: Sandbox
  images: ImageTools
  /** The app's own config. */
  appConfig: Record<string, string>
  tree: Layer
  noCache: boolean
  say: Say
  signal: AbortSignal
  bounds: Bounds
}

/**
 * Builds a Dockerfile with buildah in the sandbox, and takes the image as one from elsewhere: each
 * of its layers by its digest, so that what is there already is not made again. Failure: the step
 * that failed, a base image that cannot be had.
 */
export async function buildDockerfile(plan: DockerPlan, context: DockerContext): Promise<Image> {
  const { app, config, say, signal } = context
  sayPlan(plan, context)
  await using work = context.images.openWork(signal)
  const tool = await ensureTool(config, context)
  if (context.noCache) await openCache(config, app).then(() => dropCache(config, app))
  const cache = await openCache(config, app)
  await ensureBases(plan, { ...context, work, cache, tool })
  using pins = pinLayers()
  const read = await buildLayout(plan, { ...context, cache, tool, pins })
  const foreign = await foreignOf(plan, read, config)
  const image = await takeImage(config, foreign, { work, say, signal })
  await hollowOut(cache.layout, read)
  await boundCache(config, app)
  return { ...image, language: plan.language, env: { ...image.env, ...plan.env } }
}

function sayPlan(plan: DockerPlan, { appConfig, say }: DockerContext): void {
  say(`-----> ${plan.file} found, which buildah builds (${plan.because})`)
  say(`       ${plan.otherwise}`)
  for (const warning of plan.warnings) say(` !     ${warning}`)
  for (const key of [...plan.secrets, ...plan.configArgs].filter((one) => !(one in appConfig))) {
    say(` !     ${key} is named in paas.toml and not set: config:set <app> ${key}=…`)
  }
}

type Making = DockerContext & { cache: Cache; tool: Layer[] }

async function ensureBases(
  { images }: DockerPlan,
  context: Making & { work: LayerWork },
): Promise<void> {
  const { cache, say, images: registries } = context
  const { access, release } = registries
  const options = { ...context, access, release }
  await using fetched = await fetchBases(images, cache, options)
  if (fetched.pulls.length === 0) return
  const said: string[] = []
  const command = { title: 'unpacking the base images', hint: '' }
  const result = await inSandbox(context, command, {
    ...pullJob(fetched.pulls),
    mounts: [{ source: fetched.dir, target: basesTarget, readOnly: true }],
    onLine: (line) => said.push(line),
  })
  await result.discard()
  if (result.code !== 0) {
    for (const line of said.slice(-20)) say(`       ${line}`)
    throw new Failure('failed', 'Could not unpack the base images; what was said is above', {
      hint: 'Images with devices, or with users above 65535, cannot be bases here',
    })
  }
  for (const { names, digest } of fetched.pulls) await cache.setBase(names[0], digest)
}

/** What of the last image is hollow and is needed after all is brought by a second export. */
async function buildLayout(
  plan: DockerPlan,
  context: Making & { pins: ReturnType<typeof pinLayers> },
): Promise<Read> {
  const { config, cache, pins } = context
  const stack = await knownStack(config)
  if (stack) await layHollow(cache.layout, stack)
  await runBuild(plan, context)
  const read = await readLayout(cache.layout, layoutImage)
  const image = await foreignOf(plan, read, config)
  for (const { layer } of planLayers(image)) pins.add(layer.key)
  if (await isWhole(config, cache.layout, image)) return read
  await rm(cache.layout, { recursive: true, force: true })
  await runBuild(plan, { ...context, say: () => {} })
  return readLayout(cache.layout, layoutImage)
}

async function runBuild(plan: DockerPlan, context: Making): Promise<void> {
  const { config, cache, tree, appConfig, say, signal, noCache } = context
  const { file, target } = plan
  const words = openWords(say)
  const picked = (keys: string[]) =>
    Object.fromEntries(
      keys.flatMap((key) => (key in appConfig ? [[key, appConfig[key] ?? '']] : [])),
    )
  const job = buildJob({
    file: posix.join(sourceTarget, file),
    context: posix.join(sourceTarget, plan.context),
    target,
    args: { ...plan.args, ...picked(plan.configArgs) },
    secrets: picked(plan.secrets),
    renamed: plan.images.filter(isRenamed).map((image) => {
      return { written: image.written, name: storageNames(image)[0] }
    }),
    noCache,
    prune: cache.isLarge,
  })
  const source = join(paths(config).layer(tree), 'app')
  await using args = await writeArgs(config, job.argsFile)
  const result = await inSandbox(context, words.command, {
    ...job,
    mounts: [
      { source, target: sourceTarget, readOnly: true },
      { source: args.dir, target: argsTarget, readOnly: true },
      { source: cache.out, target: '/out', readOnly: false },
    ],
    onLine: words.onLine,
  })
  try {
    stopIfCancelled(signal)
    if (result.code === 0) return await requireLayout(cache.out)
    if (await isFull(config)) throw filledDisk(words.command)
    const known = result.oom ? undefined : words.failure(file)
    throw known ?? stepFailure(words.command, result, config)
  } finally {
    await result.discard()
  }
}

const sourceTarget = '/source'

async function writeArgs(
  config: PaasConfig,
  text: string,
): Promise<{ dir: string } & AsyncDisposable> {
  const dir = join(paths(config).making, `args-${newId()}`)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await writeFile(join(dir, 'args'), text, { mode: 0o400 })
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) }
}

async function inSandbox(
  { app, config, sandbox, cache, tool, signal, bounds }: Making,
  command: Command,
  job: Pick<SandboxJob, 'argv' | 'env' | 'mounts' | 'onLine'>,
): Promise<SandboxResult> {
  using here = bounds.during(command)
  void here
  return await sandbox({
    ...job,
    app,
    layers: tool,
    user: 'root',
    nested: true,
    mounts: [...job.mounts, { source: cache.storage, target: storageTarget, readOnly: false }],
    signal,
    timeoutMs: config.buildTimeoutMs + 60_000,
  })
}

async function foreignOf(
  { port, processes, shells, file }: DockerPlan,
  { config: said, layers }: Read,
  config: PaasConfig,
): Promise<ForeignImage> {
  const ports = port === undefined ? said.ports : [`${port}/tcp`]
  const stack = await knownStack(config)
  return {
    name: file,
    config: {
      ...said,
      ports,
      entrypoint: byShell(said.entrypoint, shells.entrypoint),
      cmd: byShell(said.cmd, shells.cmd),
    },
    layers,
    ...(processes && { processes }),
    ...(stack && { stack }),
  }
}

/** buildah minds SHELL for RUN alone, and has all else by the usual one. */
export function byShell(words: string[], shell: string[] | undefined): string[] {
  const isUsual = words[0] === '/bin/sh' && words[1] === '-c' && words.length === 3
  return shell && isUsual ? [...shell, ...words.slice(2)] : words
}

/** What an image begins with whose Dockerfile begins with it; as a blob it has been seen then. */
async function knownStack(config: PaasConfig) {
  const { run: layer } = stackLayers(config)
  const note = hasLayer(config, layer) ? await readNote(config, layer) : undefined
  return note && { layer, diffId: note.diffId, bytes: note.bytes }
}
