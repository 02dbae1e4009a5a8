import { flushCompileCache } from 'node:module'
import { execve } from 'node:process'
import { type PaasConfig, readConfig } from '../core/config.ts'
import { failureLines, statusOf } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import { paths } from '../core/names.ts'

/** None with which Node would have to compile its own modules: that is 60 ms of each start. */
const flags = [
  '--max-semi-space-size=1',
  '--v8-pool-size=1',
  // Else each directory on the way to each module is looked at: 40 ms more.
  ...['--preserve-symlinks', '--preserve-symlinks-main'],
] as const
const cacheFilled = 'compile-cache-filled'

/**
 * The daemon in the foreground. Apps and the router are not its children and outlive it. It begins
 * by becoming itself once more, with the same pid, the way it wants to be run.
 */
try {
  const config = readConfig(process.env)
  if (!process.execArgv.includes(flags[0])) beginAgain(config)
  const { serve } = await import('./serve.ts')
  if (parserIsLoaded() && !process.argv.includes(cacheFilled)) {
    flushCompileCache()
    beginAgain(config, cacheFilled)
  }
  await serve(config)
} catch (error) {
  logError('start-failed', error)
  process.stderr.write(`${failureLines(error).join('\n')}\n`)
  process.exit(statusOf(error))
}

/**
 * Idle, the daemon would hold half as much again without these: a small heap for short-lived
 * garbage, and a cache that spares Node its TypeScript parser.
 */
function beginAgain(config: PaasConfig, ...words: string[]): void {
  const { compileCache } = paths(config)
  const env = { NODE_COMPILE_CACHE: compileCache, ...process.env, MALLOC_ARENA_MAX: '1' }
  const args = [...flags, ...process.argv.slice(1), ...words]
  execve?.(process.execPath, [process.execPath, ...args], env)
}

/** Whether some source was not in the cache: after a change of code, at the first start. */
function parserIsLoaded(): boolean {
  const loaded: unknown = Reflect.get(process, 'moduleLoadList')
  return Array.isArray(loaded) && loaded.includes('NativeModule internal/deps/amaro/dist/index')
}
