import { execve } from 'node:process'
import { readConfig } from '../core/config.ts'
import { failureLines, statusOf } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import { paths } from '../core/names.ts'

/** None with which Node would have to compile its own modules: that is 60 ms of each start. */
const flags = ['--max-semi-space-size=1', '--v8-pool-size=1'] as const

/**
 * The daemon in the foreground. Apps and the router are not its children and outlive it. It begins
 * by becoming itself once more, with the same pid, the way it wants to be run.
 */
try {
  const config = readConfig(process.env)
  if (!process.execArgv.includes(flags[0])) begin(paths(config).compileCache)
  const { serve } = await import('./serve.ts')
  await serve(config)
} catch (error) {
  logError('start-failed', error)
  process.stderr.write(`${failureLines(error).join('\n')}\n`)
  process.exit(statusOf(error))
}

/**
 * Idle, the daemon would hold 155 MB without these and holds 100 MB with them: a small heap for
 * short-lived garbage, and a cache that spares Node its TypeScript parser.
 */
function begin(compileCache: string): void {
  const env = { NODE_COMPILE_CACHE: compileCache, ...process.env, MALLOC_ARENA_MAX: '1' }
  execve?.(process.execPath, [process.execPath, ...flags, ...process.argv.slice(1)], env)
}
