import { statfs } from 'node:fs/promises'
import { setInterval as ticks } from 'node:timers/promises'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import type { Step } from '../buildpack-detect/plan.ts'
import type { SandboxResult } from '../sandbox.ts'

/** What ends a build early, and the words for how a command of it ended. */

/** What a command is for people; it may be another by the time that they are told of it. */
export type Command = Readonly<Pick<Step, 'title' | 'hint'>>

/** Part of the least free space that a build may not come near: the rest is for the apps. */
const reservedPart = 4
const lookMs = 500
/** A command that has no room for one page more has failed for want of it. */
const fullBytes = 1024 * 1024

/** The signal of a whole build. */
export type Bounds = {
  signal: AbortSignal
  /** Names the command that a failure is told of, until that is disposed of. */
  during: (command: Command) => Disposable
}

/** How one that asks for too much asks for less. */
const less = { build: 'Let the build do less', image: 'Make the image smaller' }

/**
 * Aborts with `wanted`, when a build has lasted as long as it may, and when the disk is about to be
 * full, whatever of the build goes on then. To take or send an image is bound as a build is.
 */
export function boundBuild(
  config: PaasConfig,
  wanted: AbortSignal,
  what: keyof typeof less = 'build',
): Bounds & Disposable {
  const end = new AbortController()
  const over = new AbortController()
  let now: Command | undefined
  const timer = setTimeout(() => end.abort(tooLate(config, what, now)), config.buildTimeoutMs)
  const reserve = config.minFreeBytes / reservedPart
  watchDisk(config, reserve, over.signal).then(
    (isShort) => isShort && end.abort(filledDisk(now, what)),
    () => {}, // no longer wanted
  )
  return {
    signal: AbortSignal.any([wanted, end.signal]),
    during: (command) => {
      now = command
      return { [Symbol.dispose]: () => (now = undefined) }
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer)
      over.abort()
    },
  }
}

/** Whether so little is free that whoever failed just now failed for that. */
export async function isFull(config: PaasConfig): Promise<boolean> {
  return (await freeBytes(config)) < fullBytes
}

export function filledDisk(step?: Command, what = 'build'): Failure {
  const who = step ? `"${step.title}"` : `The ${what}`
  return new Failure('failed', `${who} filled the disk of the server and was stopped`, {
    hint: 'Who takes the space: disk. To free what nobody needs: images:gc. Then push again',
  })
}

/** The last words of a runtime that ends itself because it got no more memory of its limit. */
export function saysHeapIsFull(line: string): boolean {
  return /JavaScript heap out of memory|java\.lang\.OutOfMemoryError: /.test(line)
}

/** A command's own end, in words. */
export function stepFailure(step: Command, result: SandboxResult, config: PaasConfig): Failure {
  if (result.oom) {
    const limit = result.memory?.limitBytes ?? config.buildMemoryBytes
    const used = result.memory?.peakBytes ?? limit
    const seen = `The build used ${ofBytes(used, limit)}`
    return new Failure('failed', `${seen} and was killed in "${step.title}"`, {
      hint: 'Let the build use less, or raise PAAS_BUILD_MEMORY (MiB) on the server',
    })
  }
  const filled = result.disk?.find(isFilled)
  if (filled) {
    const seen = `The build used ${ofBytes(filled.usedBytes, filled.limitBytes)} of disk`
    return new Failure('failed', `${seen} and ended in "${step.title}"`, {
      hint: 'Let the build write less, or raise PAAS_BUILD_DISK (MiB) on the server',
    })
  }
  return new Failure('failed', `"${step.title}" exited with ${result.code}; its output is above`, {
    hint: step.hint,
  })
}

function isFilled(disk: { usedBytes: number; limitBytes: number }): boolean {
  return disk.usedBytes > disk.limitBytes - fullBytes
}

/** `1.9 of 2.0 GB`, `200 of 200 MB` */
function ofBytes(used: number, limit: number): string {
  const small = limit < 1024 ** 3
  const show = (bytes: number) => (bytes / 1024 ** (small ? 2 : 3)).toFixed(small ? 0 : 1)
  return `${show(used)} of ${show(limit)} ${small ? 'MB' : 'GB'}`
}

async function watchDisk(
  config: PaasConfig,
  reserve: number,
  signal: AbortSignal,
): Promise<boolean> {
  for await (const now of ticks(lookMs, true, { signal, ref: false })) {
    if (now && (await freeBytes(config)) < reserve) return true
  }
  return false
}

async function freeBytes({ home }: PaasConfig): Promise<number> {
  const { bavail, bsize } = await statfs(home)
  return bavail * bsize
}

function tooLate({ buildTimeoutMs }: PaasConfig, what: keyof typeof less, step?: Command): Failure {
  const minutes = buildTimeoutMs / 60_000
  const limit = minutes < 1 ? `${buildTimeoutMs / 1000} s` : `${Math.round(minutes * 10) / 10} min`
  const seen = `The ${what} took longer than ${limit} and was stopped`
  return new Failure('failed', step ? `${seen} in "${step.title}"` : seen, {
    hint: `${less[what]}, or raise PAAS_BUILD_TIMEOUT (seconds) on the server`,
  })
}
