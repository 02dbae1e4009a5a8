import { readFileSync, unlinkSync, watch } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { unlessMissing } from '../core/errors.ts'
import { kernelNames, paths } from '../core/names.ts'
import { isAlive } from '../core/processes.ts'
import type { Exit } from '../core/types.ts'
import { readJson, readRecord, writeJson } from './bundle.ts'
import type { Host } from './host.ts'
import { readUsage } from './usage.ts'
import { hasArgument, pidIn } from './processes.ts'

/** How a container ended. Its monitor leaves a file; we keep what it says with the bundle. */

/** The exit of a container that has a bundle, undefined while it runs. Safe to repeat. */
export function readExit(host: Host, id: string): Exit | undefined {
  const { bundle, exits } = paths(host.config)
  const known = readJson(join(bundle(id), 'exit.json'))
  if (isExit(known)) return known
  const text = unlessMissing(() => readFileSync(join(exits, id), 'utf8'))
  if (text === undefined) return undefined
  const exit = keepExit(host, makeExit(host, id, Number(text)))
  forgetExit(host, id)
  return exit
}

/** Whether the container's monitor is still there to report. */
export function isMonitored(host: Host, id: string): boolean {
  const pid = pidIn(join(paths(host.config).bundle(id), 'monitor.pid'))
  return pid !== undefined && hasArgument(pid, id)
}

/** An Exit from a code seen now; the control group, asked about memory, must still be there. */
export function makeExit(host: Host, id: string, code: number): Exit {
  // A child may have been killed while the app itself went on and ended well.
  const { cgroup, buildCgroup } = kernelNames(host.config)
  const usage = readUsage(cgroup(id)) ?? readUsage(buildCgroup(id))
  const oom = code !== 0 && (usage?.oomKills ?? 0) > 0
  const at = new Date().toISOString()
  if (!usage) return { id, code, oom, at }
  const { memoryLimitBytes: limitBytes, memoryPeakBytes: peakBytes } = usage
  return { id, code, oom, at, memory: { limitBytes, peakBytes } }
}

/** Drops the monitor's file of a container. */
export function forgetExit(host: Host, id: string): void {
  unlessMissing(() => unlinkSync(join(paths(host.config).exits, id)))
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
    try {
      const exit = readExit(host, id)
      if (exit) resolve(exit)
    } catch (error) {
      reject(error)
    }
  }
  using scope = new DisposableStack()
  scope.use(watchDirectory(paths(host.config).exits, (name) => name === id && look()))
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

/** Resolves once both the container and its monitor are gone without a word. */
async function lostContainer(
  host: Host,
  id: string,
  signal: AbortSignal,
): Promise<Exit | undefined> {
  const record = readRecord(host, id)
  if (!record) return undefined
  while (!signal.aborted) {
    const gone = !isAlive(record) && !isMonitored(host, id)
    // The monitor writes its file before it goes: look for that last.
    if (gone) return readExit(host, id) ?? keepExit(host, makeExit(host, id, killedCode))
    await delay(lostLookMs, undefined, { signal }).catch(() => {})
  }
  return undefined
}

const killedCode = 137

function keepExit(host: Host, exit: Exit): Exit {
  const file = join(paths(host.config).bundle(exit.id), 'exit.json')
  unlessMissing(() => writeJson(file, exit)) // the bundle may have gone meanwhile
  return exit
}

function isExit(value: unknown): value is Exit {
  return typeof value === 'object' && value !== null && 'code' in value && 'oom' in value
}
