import koffi from 'koffi'

const trim = koffi.load('libc.so.6').func('int malloc_trim(size_t pad)')

/**
 * Gives freed memory of this process back to the kernel, which the C library would keep for ever.
 * After a deploy it is a tenth of the daemon; giving it back costs a millisecond.
 */
export function releaseMemory(): void {
  trim(0)
}
