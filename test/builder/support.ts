import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { ImageTools } from '../../builder/docker/build.ts'
import { build, type BuildRequest } from '../../builder/build.ts'
import { sweepLayers } from '../../builder/layers/layers.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { Failure, failureLines } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import type { Image } from '../../core/types.ts'
import { openLayerWork } from '../../daemon/code/layer-work.ts'
import { closeHost } from '../../runner/host.ts'
import { freeSubnet } from '../subnet.ts'
import { openedHost, sandboxOf } from './sandbox.ts'

export const apps = join(import.meta.dirname, '..', 'apps')
export const sample = join(import.meta.dirname, '..', '..', 'scripts', 'sample')

/** An instance's directories, removed with it. Stacks and runtimes are the host's. */
export function temporaryConfig(): { config: PaasConfig } & AsyncDisposable {
  const home = mkdtempSync(join(tmpdir(), 'paas-builder-'))
  const config = readConfig({
    PAAS_HOME: home,
    PAAS_RUN: join('/run', basename(home)),
    PAAS_SUBNET: freeSubnet(),
    PAAS_CACHE: process.env.PAAS_CACHE,
  })
  return {
    config,
    [Symbol.asyncDispose]: async () => {
      await sweepLayers(config, new Set())
      const host = await openedHost(config)
      if (host) await closeHost(host)
      rmSync(home, { recursive: true, force: true })
      rmSync(config.run, { recursive: true, force: true })
    },
  }
}

export type Repo = {
  dir: string
  /** Writes files (an undefined one is removed), commits all, returns what to build. */
  commit(files?: Record<string, string | undefined>): Promise<Omit<BuildRequest, 'app' | 'config'>>
  git(...args: string[]): Promise<string>
}

/** A git repository with a copy of a sample tree, or an empty one. */
export async function makeRepo(config: PaasConfig, name: string, tree?: string): Promise<Repo> {
  const dir = join(config.home, 'work', name)
  mkdirSync(dir, { recursive: true })
  if (tree) cpSync(tree, dir, { recursive: true })
  const git = async (...args: string[]) => {
    const who = ['-c', 'user.name=Tester', '-c', 'user.email=tester@example.com']
    return (await exec('git', [...who, ...args], { cwd: dir })).stdout.trim()
  }
  await git('init', '--quiet', '--initial-branch=main')
  return {
    dir,
    git,
    commit: async (files = {}) => {
      for (const [path, text] of Object.entries(files)) {
        const file = join(dir, path)
        mkdirSync(dirname(file), { recursive: true })
        if (text === undefined) rmSync(file)
        else writeFileSync(file, text)
      }
      await git('add', '--all', '--force')
      await git('commit', '--quiet', '--allow-empty', '--message', 'Change')
      const commit = await git('rev-parse', 'HEAD')
      return { repo: join(dir, '.git'), gitEnv: {}, commit }
    },
  }
}

export type Built = { image: Image | undefined; lines: string[]; error: unknown }

/** No registry may be asked without a login. */
export const noRegistries: ImageTools = {
  access: () => ({ allowed: false }),
  openWork: openLayerWork,
  release: () => {
    throw new Failure('failed', 'there are no apps')
  },
}

/** Builds, and returns what was said and what came of it. */
export async function tryBuild(
  config: PaasConfig,
  request: BuildRequest,
  signal: AbortSignal = new AbortController().signal,
): Promise<Built> {
  const lines: string[] = []
  const tools = { config, sandbox: sandboxOf(config), images: noRegistries }
  try {
    const image = await build(request, tools, (line) => lines.push(line), signal)
    return { image, lines, error: undefined }
  } catch (error) {
    return { image: undefined, lines: [...lines, ...failureLines(error)], error }
  }
}
