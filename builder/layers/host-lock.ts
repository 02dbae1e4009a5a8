import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { cancelled, Failure } from '../../core/errors.ts'
import { killGroup } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { type Program, startProgram } from '../../core/spawn.ts'

/** Held by one instance alone, so that it goes with it. */
export function ownLock(config: PaasConfig): string {
  return `stack-${config.tag}`
}

/**
 * Runs `work` while this host's lock `name` is held, so that instances sharing a cache make a layer
 * once. The lock is the kernel's, on a file that `flock` keeps open for as long as our end of its
 * pipe is: however the daemon ends, the pipe closes and the lock is free.
 * Throws a Failure when cancelled or after `timeoutMs` of waiting; `work` keeps its own deadlines.
 */
export async function withHostLock<T>(
  config: PaasConfig,
  name: string,
  limits: { signal: AbortSignal; timeoutMs: number },
  work: () => Promise<T>,
): Promise<T> {
  const { locks } = paths(config)
  await mkdir(locks, { recursive: true })
  const holder = startProgram('flock', ['--', join(locks, name), 'cat'], {
    streams: ['to it', 'from it', 'nowhere'],
  })
  try {
    await held(holder, limits)
    return await work()
  } finally {
    await killGroup(holder, 1000)
  }
}

/** `cat` echoes a line once flock has the lock and has started it. */
async function held(
  holder: Program,
  limits: { signal: AbortSignal; timeoutMs: number },
): Promise<void> {
  const late = AbortSignal.timeout(limits.timeoutMs)
  const signal = AbortSignal.any([limits.signal, late])
  const [stdin, stdout] = holder.streams
  stdin?.on('error', () => {}) // flock may be gone before it reads
  stdin?.write('held\n')
  try {
    if (!stdout) throw new Error('no pipe to flock')
    const ended = once(holder, 'exit', { signal }).then(() => {
      throw new Error('flock ended without the lock')
    })
    await Promise.race([once(stdout, 'data', { signal }), ended])
    ended.catch(() => {}) // it ends when we let go
  } catch (cause) {
    if (limits.signal.aborted) throw cancelled(limits.signal)
    const seen = late.aborted ? `another holds it for ${limits.timeoutMs / 1000} s` : String(cause)
    throw new Failure('temporary', `Could not take the lock of a shared layer: ${seen}`, { cause })
  }
}
