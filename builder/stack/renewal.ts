import type { PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Layer, Say } from '../../core/types.ts'
import { replaceFile } from '../../core/whole-file.ts'
import { installOptions } from './apt.ts'
import { aptIndex } from './apt-index.ts'
import { runInChroot } from './chroot.ts'
import { installedPackages, type Outdated, outdatedBy } from './debian.ts'
import { ownLock, withHostLock } from '../layers/host-lock.ts'
import { caddyVersion } from '../runtimes/caddy.ts'
import { ensureLayer, hasLayer } from '../layers/layers.ts'
import { ensureStack, newGeneration, type Stacks, stacksOf } from './stack.ts'

export type Renewal = {
  stacks: Stacks
  /** The version of Caddy that Debian has now. */
  caddy: string
  /** Packages of the stacks, and of the layers that were asked about, that had newer versions. */
  outdated: Outdated[]
  /** Whether there are new stacks; they are what new builds stand on. */
  made: boolean
}

/** A second call waits for the first. */
const lockTimeoutMs = 30 * 60_000
const upgradeTimeoutMs = 10 * 60_000

/**
 * Makes new stacks of those of now when Debian has newer versions of anything in those of now, or
 * of the packages that `above` (layers of images, lowest first) have on them; with `always` in any
 * case. Old stacks stay for as long as a release stands on them.
 */
export async function renewStacks(
  config: PaasConfig,
  { above, always }: { above: Layer[][]; always: boolean },
  { say, signal }: { say: Say; signal: AbortSignal },
): Promise<Renewal> {
  const limits = { signal, timeoutMs: lockTimeoutMs }
  return await withHostLock(config, ownLock(config), limits, async () => {
    const now = await ensureStack(config, say, signal)
    const index = await aptIndex(config, { say, signal, fresh: true })
    const caddy = caddyVersion(index)
    const newer = new Map<string, Outdated>()
    const current = above.filter(([lowest]) => lowest?.key === now.run.key)
    for (const layers of [[now.run], [now.build], ...current]) {
      if (!layers.every((layer) => hasLayer(config, layer))) continue
      const found = outdatedBy(await installedPackages(config, layers), index)
      for (const one of found) newer.set(one.name, one)
    }
    const outdated = [...newer.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    if (outdated.length === 0 && !always) return { stacks: now, caddy, outdated, made: false }
    const generation = newGeneration()
    const stacks = stacksOf(generation)
    for (const name of ['run', 'build'] as const) {
      await upgrade(config, { from: now[name], to: stacks[name], lists: index.lists, say, signal })
    }
    await replaceFile(paths(config).stackGeneration, `${generation}\n`)
    return { stacks, caddy, outdated, made: true }
  })
}

/** A copy of a stack with all of it brought up to date. */
async function upgrade(
  config: PaasConfig,
  job: { from: Layer; to: Layer; lists: string; say: Say; signal: AbortSignal },
): Promise<void> {
  const { from, to, lists, say, signal } = job
  const began = performance.now()
  const make = async (dir: string) => {
    const copy = ['--archive', '--reflink=auto', '--no-target-directory', '--']
    const limits = { signal, timeoutMs: upgradeTimeoutMs }
    await exec('cp', [...copy, paths(config).layer(from), dir], limits)
    const verb = ['dist-upgrade', '--purge', '--auto-remove']
    const argv = ['apt-get', ...installOptions, ...verb]
    await runInChroot({ lowers: [], upper: dir, lists, argv, ...limits })
  }
  await ensureLayer(config, { layer: to, signal, make })
  say(`       stack: ${to.label} ready (${((performance.now() - began) / 1000).toFixed(1)} s)`)
}
