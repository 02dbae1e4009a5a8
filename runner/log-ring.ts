import { existsSync } from 'node:fs'
import { link, readdir, readFile, rename, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'
import { limits } from '../core/config.ts'
import { ignoreMissing } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import type { Host } from './host.ts'
import { type LogFile, logFile, logPiece, logPiecesPerApp, ownLogId } from './log-files.ts'
import { findFiles, type FoundFile } from './log-reading.ts'

/** Keeps the log of an app within its size: full files become pieces, then small, then nothing. */

/** Followers read a piece while it is written; it is left alone until they surely have. */
const compressAfterMs = 30_000
const compressBytesLeast = 64 * 1024

/**
 * Keeps an app's log a ring of at most `bytes`. A monitor begins a file anew when it is full; a
 * second name, given to the full one in time, is what keeps it as an older piece. A flood between
 * two calls loses whole pieces from its middle, never the newest, and fills no disk.
 */
export async function boundLogs(
  host: Host,
  app: string,
  bytes: number = limits.logBytesPerApp,
): Promise<void> {
  const p = paths(host.config)
  const directory = p.logs(app)
  const isLive = (file: LogFile) => existsSync(p.bundle(file.id))
  let files = await findFiles(directory, {})
  const again = async (changes: boolean[]): Promise<void> => {
    if (changes.includes(true)) files = await findFiles(directory, {})
  }
  const whole = files.filter(({ piece }) => piece === undefined)
  await again(await inTurn(whole, (file) => keepPiece(directory, file, files)))
  const atRest = files.filter((file) => isAtRest(file, isLive(file)))
  await again(await inTurn(atRest, (file) => compressPiece(directory, file, files)))
  await deleteOldest(files, bytes, isLive)
}

async function inTurn<T, R>(items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const item of items) results.push(await work(item))
  return results
}

/** Removes what a kill in the middle of a compression has left. */
export async function sweepLogs(host: Host, app: string): Promise<void> {
  const directory = paths(host.config).logs(app)
  for (const name of await readdir(directory).catch(() => [])) {
    if (name.endsWith('.zst.new')) await unlink(join(directory, name)).catch(ignoreMissing)
  }
}

/** Whether the file had to get its second name. */
async function keepPiece(directory: string, file: FoundFile, files: FoundFile[]): Promise<boolean> {
  if (file.names.length > 1) return false
  const own = file.id === ownLogId
  if (own && file.size < limits.logBytesPerApp / logPiecesPerApp) return false
  const target = join(directory, logPiece(file, nextPiece(file, files)))
  // A file of ours is opened anew for each line, a monitor's is open until the monitor leaves it.
  await (own ? rename(file.path, target) : link(file.path, target)).catch(ignoreMissing)
  return true
}

function nextPiece(file: FoundFile, files: FoundFile[]): number {
  const pieces = files.filter((other) => logFile(other) === logFile(file))
  return Math.max(0, ...pieces.map(highestPiece)) + 1
}

/** A file that is still written may have the name of its later piece already. */
function highestPiece({ piece, names }: FoundFile): number {
  const numbers = names.map((name) => Number(/\.(\d{6,})\.log$/.exec(name)?.[1] ?? 0))
  return Math.max(piece ?? 0, ...numbers)
}

/** Nobody writes it any more, and nobody is still to read its last lines. */
function isAtRest(file: FoundFile, isLive: boolean): boolean {
  if (file.compressed || file.size < compressBytesLeast) return false
  if (Date.now() - file.changedAt < compressAfterMs) return false
  return file.piece !== undefined || (file.id !== ownLogId && !isLive)
}

/** At every moment the lines are there once under a name that is read, or for an instant twice. */
async function compressPiece(
  directory: string,
  file: FoundFile,
  files: FoundFile[],
): Promise<boolean> {
  const number = file.piece ?? (highestPiece(file) || nextPiece(file, files))
  const target = join(directory, `${logPiece(file, number)}.zst`)
  const data = await readFile(file.path).catch(ignoreMissing)
  if (!data) return true // it went meanwhile
  const small = await compress(data, { params: { [constants.ZSTD_c_compressionLevel]: 3 } })
  await writeFile(`${target}.new`, small, { mode: 0o600 })
  await utimes(`${target}.new`, file.changedAt / 1000, file.changedAt / 1000)
  await rename(`${target}.new`, target)
  for (const name of file.names) await unlink(name).catch(ignoreMissing)
  return true
}

const compress = promisify(zstdCompress)

/** Whole files go, oldest first, but none that is still written. */
async function deleteOldest(
  files: FoundFile[],
  bytes: number,
  isLive: (file: LogFile) => boolean,
): Promise<void> {
  let total = files.reduce((sum, { size }) => sum + size, 0)
  let count = files.length
  for (const file of files.sort((a, b) => a.changedAt - b.changedAt)) {
    if (total <= bytes && count <= limits.logFilesPerApp) return
    if (file.piece === undefined && isLive(file)) continue
    for (const name of file.names) await unlink(name).catch(ignoreMissing)
    total -= file.size
    count -= 1
  }
}
