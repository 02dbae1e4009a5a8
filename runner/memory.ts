import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import koffi from 'koffi'

const trim = koffi.load('libc.so.6').func('int malloc_trim(size_t pad)')

/** What of the heap was in use after the last collection, in bytes. */
let settled = 0

/**
 * Gives memory of this process back to the kernel, which V8 and the C library would keep: after
 * work it is a fifth of the daemon. Costs a millisecond, and some tens of them after work.
 */
export function releaseMemory(): void {
  if (process.memoryUsage().heapUsed > settled * 1.1) {
    collect()
    settled = process.memoryUsage().heapUsed
  }
  trim(0)
}

/** Exposed for this moment alone: a start with that flag compiles Node's own modules anew. */
function collect(): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  gc()
}
