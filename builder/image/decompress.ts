import { PassThrough, type Transform } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'

/** Undoes what a stream that begins like this was packed with: gzip, zstd or nothing. */
export function decompressor(head: Buffer, options: { chunkSize?: number } = {}): Transform {
  if (head.length >= 4 && head.readUInt16BE(0) === 0x1f8b) return createGunzip(options)
  if (head.length >= 4 && head.readUInt32BE(0) === 0x28b52ffd) return createZstdDecompress(options)
  return new PassThrough()
}

/** Whether an error is of one of those. */
export function isDamaged(code: string | undefined): boolean {
  return /^(Z|ZSTD)_/.test(code ?? '')
}
