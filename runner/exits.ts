import { watch } from 'node:fs'
import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errno } from '../core/errors.ts'
import { kernelNames, paths } from '../core/names.ts'
import type { Exit } from '../core/types.ts'
import { readJson, readRecord, writeJson } from './bundle.ts'
import { oomKills } from './cgroup.ts'
import type { Host } from './host.ts'
import { isAlive } from './processes.ts'

/** How a container ended. Its monitor leaves a file; we keep what it says with the bundle. */

/** The exit of a container that has a bundle, undefined while it runs. Safe to repeat. */
export async function readExit(host: Host, id: string): Promise<Exit | undefined> {
  const { bundle, exits } = paths(host.config)
  const kept = join(bundle(id), 'exit.json')
  const known: unknown = await readJson(kept)
  if (isExit(known)) return known
  const file = join(exits, id)
  const text = await readFile(file, 'utf8').catch(ignoreMissing)
  if (text === undefined) return undefined
  const exit = makeExit(host, id, Number(text))
  await writeJson(kept, exit).catch(ignoreMissing) // the bundle may have gone meanwhile
  await forgetExit(host, id)
  return exit
}

/** An Exit from a code seen now; asks the control group, which must still be there, about memory. */
export function makeExit(host: Host, id: string, code: number): Exit {
  // A child may have been killed while the app itself went on and ended well.
  const oom = code !== 0 && oomKills(kernelNames(host.config).cgroup(id)) > 0
  return { id, code, oom, at: new Date().toISOString() }
}

/** Drops the monitor's file of a container. */
export async function forgetExit(host: Host, id: string): Promise<void> {
  await unlink(join(paths(host.config).exits, id)).catch(ignoreMissing)
}

/**
 * Resolves with the exit as soon as the monitor reports it, or with undefined after `timeoutMs`.
 * Should the monitor itself have been killed, a container that is gone counts as SIGKILLed.
 */
export async function waitForExit(
  host: Host,
  id: string,
  options: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<Exit | undefined> {
  const timeout = AbortSignal.timeout(Math.max(0, options.timeoutMs))
  const given = options.signal ? [options.signal, timeout] : [timeout]
  const waiting = new AbortController()
  const signal = AbortSignal.any([...given, waiting.signal])
  const { promise, resolve, reject } = Promise.withResolvers<Exit | undefined>()
  const look = () => {
    readExit(host, id).then((exit) => exit && resolve(exit), reject)
  }
  using _watcher = watchDirectory(paths(host.config).exits, (name) => name === id && look())
  signal.addEventListener('abort', () => resolve(undefined), { once: true })
  if (signal.aborted) resolve(undefined)
  look()
  // oxlint-disable-next-line promise/catch-or-return
  lostContainer(host, id, signal).then((exit) => exit && resolve(exit), reject)
  try {
    return await promise
  } finally {
    waiting.abort()
  }
}

/** Calls back with the name of each file that appears or changes in `directory`. */
export function watchDirectory(directory: string, onName: (name: string) => void): Disposable {
  const watcher = watch(directory, { persistent: false }, (_event, name) => {
    if (name !== null) onName(name)
  })
  watcher.on('error', () => {}) // the directory was removed under us: nothing more will come
  return { [Symbol.dispose]: () => watcher.close() }
}

const lostLookMs = 250
const lostAfterMs = 2000

async function lostContainer(
  host: Host,
  id: string,
  signal: AbortSignal,
): Promise<Exit | undefined> {
  const record = await readRecord(host, id)
  let goneSince: number | undefined
  while (record && !signal.aborted) {
    const alive = isAlive(record.pid, record.startTime)
    goneSince = alive ? undefined : (goneSince ?? performance.now())
    if (goneSince !== undefined && performance.now() - goneSince > lostAfterMs) {
      return makeExit(host, id, 137)
    }
    await delay(lostLookMs, undefined, { signal }).catch(() => {})
  }
  return undefined
}

function isExit(value: unknown): value is Exit {
  return typeof value === 'object' && value !== null && 'code' in value && 'oom' in value
}

function ignoreMissing(error: unknown): undefined {
  if (errno(error) !== 'ENOENT') throw error
}
