import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, rm, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { newId, paths } from '../../core/names.ts'
import { download } from '../import/download.ts'
import type { RuntimeContext } from './runtime.ts'
import { readKnown } from './versions.ts'

/**
 * What the makers of a language publish themselves, for what the suite has not: lists of releases,
 * and archives by their checksums.
 */

export type PublishedList<T> = {
  /** The host keeps it under this name. */
  key: string
  /** Of what, for people: `Go`. */
  name: string
  url: string
  /** Throws a Failure for what is no such list. */
  parse: (text: string) => T
  /** Whether it never changes, as a checksum does not. */
  isFinal?: boolean
}

const listAgeMaxMs = 24 * 3600_000
const retryMs = 3600_000
const unpackTimeoutMs = 5 * 60_000

/**
 * From the host's cache when it is younger than a day, or its makers do not answer (`say` is told).
 * Failure: it cannot be had.
 */
export async function readList<T>(
  { key, name, url, parse, isFinal = false }: PublishedList<T>,
  { config, say, signal }: RuntimeContext,
): Promise<T> {
  const file = paths(config).versions(key)
  const known = await readKnown(file, parse)
  if (known && (isFinal || known.ageMs <= listAgeMaxMs)) return known.value
  say(`       ${name}: reading the releases at ${url}`)
  try {
    return await fetchList(url, file, parse, signal)
  } catch (cause) {
    stopIfCancelled(signal)
    if (!known || !(cause instanceof Failure)) throw cause
    say(` !     ${name}: ${cause.message}: choosing among the releases known before`)
    const then = new Date(Date.now() - listAgeMaxMs + retryMs) // each build would wait for them
    await utimes(file, then, then)
    return known.value
  }
}

async function fetchList<T>(
  url: string,
  file: string,
  parse: (text: string) => T,
  signal: AbortSignal,
): Promise<T> {
  await mkdir(dirname(file), { recursive: true })
  const beside = `${file}.${newId()}`
  try {
    await download(url, beside, signal)
    const value = parse(await readFile(beside, 'utf8'))
    await rename(beside, file)
    return value
  } finally {
    await rm(beside, { force: true })
  }
}

/** A tar with gzip; `checksum` in hexadecimal. */
export type PublishedArchive = {
  url: string
  algorithm: 'sha256' | 'sha512'
  checksum: string
}

/** Unpacks an archive into a directory that is there. Failure: it is not what it should be. */
export async function unpackArchive(
  { url, algorithm, checksum }: PublishedArchive,
  into: string,
  signal: AbortSignal,
): Promise<void> {
  const archive = join(into, 'archive')
  await download(url, archive, signal)
  const hash = createHash(algorithm)
  await pipeline(createReadStream(archive), hash)
  if (hash.digest('hex') !== checksum.toLowerCase()) {
    const name = new URL(url).pathname.split('/').at(-1)
    throw new Failure('failed', `${name} is not what its checksum says: it is not used`)
  }
  const options = ['--no-same-owner', '--no-same-permissions', '--directory', into]
  const limits = { signal, timeoutMs: unpackTimeoutMs }
  await exec('tar', ['--extract', '--gzip', '--file', archive, ...options], limits)
  await rm(archive)
}
