import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits, type PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { newId, paths } from '../../core/names.ts'

/**
 * What an app's Dockerfile builds keep: buildah's storage, the last image as a layout, and which
 * base images the storage has. Of the app alone; no build step but those of a Dockerfile sees it,
 * and those see the first two.
 */
export type Cache = {
  storage: string
  /** Holds `layout`. */
  out: string
  layout: string
  /** Whether the storage has outgrown its limit. */
  isLarge: boolean
  /** The digest that an image of the storage has, by its name there. */
  base(name: string): Promise<string | undefined>
  setBase(name: string, digest: string): Promise<void>
}

export async function openCache(config: PaasConfig, app: string): Promise<Cache> {
  const dir = paths(config).dockerCache(app)
  const [storage, out, bases] = [join(dir, 'storage'), join(dir, 'out'), join(dir, 'bases')]
  for (const one of [storage, out, bases]) await mkdir(one, { recursive: true, mode: 0o700 })
  const mark = (name: string) => join(bases, shortHash(name))
  return {
    storage,
    out,
    layout: join(out, 'layout'),
    isLarge: existsSync(join(dir, largeMark)),
    base: (name) => readFile(mark(name), 'utf8').catch(() => undefined),
    async setBase(name, digest) {
      const beside = `${mark(name)}.new`
      await writeFile(beside, digest)
      await rename(beside, mark(name))
    },
  }
}

/** After a build: too much is noted for the next one to prune; far too much is begun anew. */
export async function boundCache(config: PaasConfig, app: string): Promise<void> {
  const dir = paths(config).dockerCache(app)
  const { stdout } = await exec('du', ['--summarize', '--block-size=1', '--', dir], {
    timeoutMs: 60_000,
    accept: [0, 1], // 1: a file went away meanwhile
  })
  const bytes = Number.parseInt(stdout, 10)
  if (bytes > 2 * limits.dockerCacheBytes) await dropCache(config, app)
  else if (bytes > limits.dockerCacheBytes) await writeFile(join(dir, largeMark), '')
  else await rm(join(dir, largeMark), { force: true })
}

/** Removes all that is kept; the next build begins with nothing. */
export async function dropCache(config: PaasConfig, app: string): Promise<void> {
  const dir = paths(config).dockerCache(app)
  const away = join(paths(config).making, `docker-${newId()}`)
  await mkdir(paths(config).making, { recursive: true })
  await rename(dir, away)
  await rm(away, { recursive: true, force: true })
}

export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

const largeMark = 'large'
