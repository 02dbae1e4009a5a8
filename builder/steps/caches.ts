import { existsSync, lstatSync } from 'node:fs'
import { chown, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { appUser, limits, type PaasConfig } from '../../core/config.ts'
import { errno } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { logError } from '../../core/log.ts'
import { newId, paths } from '../../core/names.ts'
import type { PlannedStep } from '../layers/plan.ts'

/** Where the steps of one build have what package managers downloaded. */
export type StepCaches = {
  /** The directory for a step; `done` after it. */
  open(planned: PlannedStep): Promise<string>
  done(dir: string): Promise<void>
} & AsyncDisposable

/**
 * What an app's own scripts left in its cache must not come near a layer that other apps share,
 * unless the manager checks all it takes from there against hashes that decide the layer's key. So
 * such a layer is made with a cache that has seen nothing but installs from the same files. It goes
 * to the app's own when a step wants that, and at the end.
 */
export function openCaches(config: PaasConfig, app: string): StepCaches {
  const own = paths(config).buildCache(app)
  const clean = new Map<string, string>()
  async function adopt(): Promise<void> {
    for (const dir of clean.values()) await moveInto(own, dir)
    clean.clear()
  }
  return {
    async open({ step, sharedByApps, manifest }) {
      if (!sharedByApps || step.checksCache === true) {
        await adopt()
        return ensureDirectory(own)
      }
      const key = manifest?.layer.key ?? newId()
      const dir = clean.get(key) ?? join(paths(config).making, `cache-${newId()}`)
      clean.set(key, dir)
      return ensureDirectory(dir)
    },
    done: (dir) => (dir === own ? bound(own) : Promise.resolve()),
    async [Symbol.asyncDispose]() {
      if (clean.size === 0) return
      // How the build has ended is what counts; what is left lying is swept at the next start.
      await adopt().then(
        () => bound(own),
        (error: unknown) => logError('cache-not-kept', error, { app }),
      )
    },
  }
}

/** What is there already stays, and whatever it is it is not followed. */
async function moveInto(own: string, dir: string): Promise<void> {
  if (!existsSync(own)) {
    await mkdir(dirname(own), { recursive: true })
    return rename(dir, own)
  }
  for (const name of await readdir(dir)) {
    const target = join(own, name)
    if (lstatSync(target, { throwIfNoEntry: false })) continue
    await rename(join(dir, name), target).catch(ifOfAnotherQuota)
  }
  await rm(dir, { recursive: true, force: true })
}

/** Then it is fetched once more, some day. */
function ifOfAnotherQuota(error: unknown): void {
  if (errno(error) !== 'EXDEV') throw error
}

/** Whether the app has a cache of its own, which its scripts may have written to. */
export function hasCache(config: PaasConfig, app: string): boolean {
  return existsSync(paths(config).buildCache(app))
}

export async function dropCache(config: PaasConfig, app: string): Promise<void> {
  await rm(paths(config).buildCache(app), { recursive: true, force: true })
}

async function ensureDirectory(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o755 })
  await chown(dir, appUser, appUser)
  return dir
}

/** A cache that has outgrown its limit is begun anew: simple, and seldom. */
async function bound(cache: string): Promise<void> {
  const { stdout } = await exec('du', ['--summarize', '--block-size=1', '--', cache], {
    timeoutMs: 60_000,
    accept: [0, 1], // 1: a file went away meanwhile
  })
  if (Number.parseInt(stdout, 10) <= limits.buildCacheBytes) return
  const old = `${cache}.${newId()}`
  await rename(cache, old)
  await rm(old, { recursive: true, force: true })
}
