import { rmSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'

/**
 * A new layer is used at once, and gets on the disk while the app that stands on it starts: both
 * take as long. A mark beside it, made before the layer has its name, says that a power cut may
 * still take files from it; a release is recorded when the marks of its layers are gone.
 */

const markEnding = '.unsettled'
const flushTimeoutMs = 10 * 60_000

/** Keys that are not known to be on the disk, each with what tells one making from the next. */
type Unsettled = { keys: Map<string, object>; flushing: Promise<void> | undefined }
const instances = new Map<string, Unsettled>()

/** Leaves the mark, with the boot that it is of: only at another boot files may be missing. */
export async function markUnsettled(config: PaasConfig, key: string): Promise<void> {
  await writeFile(markOf(config, key), await bootId())
}

/** For a marked layer that has its name now. */
export function enterUnsettled(config: PaasConfig, key: string): void {
  unsettledOf(config).keys.set(key, {})
}

/**
 * Brings these layers to the disk. Not earlier: a flush that has begun holds up whoever commits a
 * row meanwhile.
 */
export async function settled(config: PaasConfig, keys: readonly string[]): Promise<void> {
  const unsettled = unsettledOf(config)
  while (keys.some((key) => unsettled.keys.has(key))) await flush(config)
}

/** For a layer that is gone. */
export function forgetUnsettled(config: PaasConfig, key: string): void {
  unsettledOf(config).keys.delete(key)
  rmSync(markOf(config, key), { force: true })
}

/**
 * For boot: flushes what an earlier daemon had no time for. After a power cut it removes the marked
 * layers, except the `needed`: a release was recorded with them, so that they were on the disk.
 */
export async function sweepUnsettled(
  config: PaasConfig,
  needed: ReadonlySet<string>,
): Promise<void> {
  const { layers } = paths(config)
  const marks = (await readdir(layers)).filter((name) => name.endsWith(markEnding))
  if (marks.length === 0) return
  await flushFiles(config)
  const boot = await bootId()
  for (const mark of marks) {
    const key = mark.slice(0, -markEnding.length)
    const isWhole = needed.has(key) || (await readFile(join(layers, mark), 'utf8')) === boot
    if (!isWhole) await rm(join(layers, key), { recursive: true, force: true })
    await rm(join(layers, mark))
  }
}

function unsettledOf(config: PaasConfig): Unsettled {
  const { layers } = paths(config)
  const known = instances.get(layers) ?? { keys: new Map(), flushing: undefined }
  instances.set(layers, known)
  return known
}

/** One flush at a time, each of all there is by then. */
function flush(config: PaasConfig): Promise<void> {
  const unsettled = unsettledOf(config)
  unsettled.flushing ??= flushAll(config, unsettled).finally(() => {
    unsettled.flushing = undefined
  })
  return unsettled.flushing
}

async function flushAll(config: PaasConfig, { keys }: Unsettled): Promise<void> {
  while (keys.size > 0) {
    const some = [...keys]
    await flushFiles(config)
    for (const [key, entry] of some) {
      if (keys.get(key) !== entry) continue // it was removed meanwhile, and maybe made anew
      rmSync(markOf(config, key), { force: true })
      keys.delete(key)
    }
  }
}

async function flushFiles(config: PaasConfig): Promise<void> {
  const { layers } = paths(config)
  await exec('sync', ['--file-system', '--', layers], { timeoutMs: flushTimeoutMs })
}

function markOf(config: PaasConfig, key: string): string {
  return join(paths(config).layers, `${key}${markEnding}`)
}

async function bootId(): Promise<string> {
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8')
}
