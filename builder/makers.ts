import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { errno, Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { newId, paths } from '../core/names.ts'
import { download } from './import/download.ts'
import type { RuntimeContext } from './runtime.ts'

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
}

const listAgeMaxMs = 24 * 3600_000
const unpackTimeoutMs = 5 * 60_000

/** From the host's cache when it is younger than a day. Failure: it cannot be had. */
export async function readList<T>(
  { key, name, url, parse }: PublishedList<T>,
  { config, say, signal }: RuntimeContext,
): Promise<T> {
  const file = paths(config).versions(key)
  if ((await ageOf(file)) > listAgeMaxMs) {
    say(`       ${name}: reading the releases at ${url}`)
    await mkdir(dirname(file), { recursive: true })
    const beside = `${file}.${newId()}`
    try {
      await download(url, beside, signal)
      parse(await readFile(beside, 'utf8'))
      await rename(beside, file)
    } finally {
      await rm(beside, { force: true })
    }
  }
  return parse(await readFile(file, 'utf8'))
}

async function ageOf(file: string): Promise<number> {
  try {
    return Date.now() - (await stat(file)).mtimeMs
  } catch (error) {
    if (errno(error) === 'ENOENT') return Infinity
    throw error
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
