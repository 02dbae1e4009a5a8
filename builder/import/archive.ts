import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { errno, Failure, stopIfCancelled } from '../../core/errors.ts'
import { waitForEnd } from '../../core/exec.ts'
import { startProgram } from '../../core/spawn.ts'
import {
  type ArchiveEntry,
  checkLink,
  commonDirectory,
  linkBytesMost,
  openBounds,
  refused,
  safePath,
} from './entries.ts'
import { readTar } from './tar.ts'
import { readZip } from './zip.ts'

export const archiveTypes = ['tar', 'tar.gz', 'zip'] as const
export type ArchiveType = (typeof archiveTypes)[number]

export type ArchiveCommit = {
  /** The archive, as a file. */
  file: string
  /** What it was said to be; it is looked at either way. */
  type: ArchiveType | undefined
  /** A bare repository of its own that sees the objects of the app's. */
  repo: string
  parent: string | undefined
  message: string
  env: Record<string, string>
}

const importTimeoutMs = 10 * 60_000
const importRef = 'refs/heads/import'

/**
 * Makes a commit of an archive's files, at `ref` of `repo`. Nothing of it is ever written as a
 * file: each goes straight into git's objects. Failure for what cannot be a tree. `stripped` is the
 * directory that all of it lay in, if there was one.
 */
export async function commitArchive(
  request: ArchiveCommit,
  signal: AbortSignal,
): Promise<{ ref: string; stripped: string }> {
  const type = await typeOf(request.file, request.type)
  const git = startProgram('git', [`--git-dir=${request.repo}`, ...fastImport], {
    env: request.env,
    streams: ['to it', 'nowhere', 'from it'],
  })
  const [stdin, , stderr] = git.streams
  const said = textOf(stderr)
  const ended = waitForEnd(git, { signal, timeoutMs: importTimeoutMs })
  ended.catch(() => {})
  if (!stdin) throw new Error('git fast-import has no standard input')
  const files = new Map<string, Blob>()
  try {
    await pipeline(script(request, type, files), stdin, { signal })
  } catch (error) {
    const code = await ended.catch(() => 1)
    stopIfCancelled(signal)
    if (error instanceof Failure || code === 0) throw error
    throw errno(error)?.startsWith('Z_') ? refused('it is damaged') : gitSays(await said)
  }
  if ((await ended) !== 0) throw gitSays(await said)
  return { ref: importRef, stripped: commonDirectory([...files.keys()]) }
}

const fastImport = ['fast-import', '--quiet', '--force', '--done', '--date-format=raw']

type Blob = { mark: number; executable: boolean; link: string | undefined }

/** What git fast-import reads: each file as it comes, then the commit that names them. */
async function* script(
  request: ArchiveCommit,
  type: ArchiveType,
  files: Map<string, Blob>,
): AsyncGenerator<string | Buffer> {
  const count = openBounds()
  let mark = 0
  for await (const entry of entriesOf(request.file, type)) {
    const path = safePath(entry.path)
    if (path === '') continue
    count(entry.bytes)
    if (entry.kind === 'same-as') {
      const same = files.get(safePath(entry.target))
      if (!same) throw refused(`"${path}" is a hard link to a file that it does not have`)
      files.set(path, same) // a path that comes twice is what came last
      continue
    }
    mark += 1
    const link = entry.kind === 'link' ? await linkTarget(entry) : undefined
    const bytes = link === undefined ? entry.bytes : Buffer.byteLength(link)
    yield `blob\nmark :${mark}\ndata ${bytes}\n`
    if (link === undefined) yield* entry.body
    else yield link
    yield '\n'
    files.set(path, { mark, executable: entry.executable, link })
  }
  if (files.size === 0) throw refused('it has no files')
  yield* commitScript(files, request)
  yield 'done\n'
}

/** tar has it in the header, zip as the content. */
async function linkTarget(entry: ArchiveEntry): Promise<string> {
  if (entry.bytes > linkBytesMost) throw refused('one of its symbolic links is too long')
  const parts: Buffer[] = []
  for await (const chunk of entry.body) parts.push(chunk)
  return Buffer.concat(parts).toString('utf8') || entry.target
}

function* commitScript(
  files: Map<string, Blob>,
  { parent, message }: ArchiveCommit,
): Generator<string> {
  const stripped = commonDirectory([...files.keys()])
  const seconds = Math.floor(Date.now() / 1000)
  yield `commit ${importRef}\ncommitter paas <paas@localhost> ${seconds} +0000\n`
  yield `data ${Buffer.byteLength(message)}\n${message}\n`
  if (parent) yield `from ${parent}\n`
  yield 'deleteall\n'
  for (const [whole, { mark, executable, link }] of files) {
    const path = whole.slice(stripped.length)
    if (link !== undefined) checkLink(path, link)
    const mode = executable ? '100755' : '100644'
    yield `M ${link === undefined ? mode : '120000'} :${mark} ${quoted(path)}\n`
  }
}

/** fast-import reads a path as it stands unless it begins with a quote. */
function quoted(path: string): string {
  return path.startsWith('"') ? `"${path.replaceAll('"', '\\"')}"` : path
}

function entriesOf(file: string, type: ArchiveType): AsyncIterable<ArchiveEntry> {
  if (type === 'zip') return readZip(file)
  const bytes = createReadStream(file)
  if (type === 'tar') return readTar(bytes)
  const gunzip = createGunzip()
  bytes.once('error', (error) => gunzip.destroy(error))
  return readTar(bytes.pipe(gunzip))
}

/** By what it begins with; another type than was said is a mistake worth telling. */
async function typeOf(file: string, said: ArchiveType | undefined): Promise<ArchiveType> {
  const type = sniffed(await headOf(file))
  if (type && (said === undefined || said === type)) return type
  const hint = `Use one of ${archiveTypes.join(', ')}`
  if (!type) throw new Failure('failed', 'The file is no archive that paas reads', { hint })
  throw new Failure('failed', `The archive is a ${type}, not a ${said}`, { hint })
}

async function headOf(file: string): Promise<Buffer> {
  await using handle = await open(file)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(512), 0, 512, 0)
  return buffer.subarray(0, bytesRead)
}

function sniffed(head: Buffer): ArchiveType | undefined {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'tar.gz'
  if (['PK\x03\x04', 'PK\x05\x06'].includes(head.toString('latin1', 0, 4))) return 'zip'
  return head.length === 512 && head.toString('latin1', 257, 262) === 'ustar' ? 'tar' : undefined
}

function gitSays(text: string): Failure {
  return refused(`git says: ${text.trim().split('\n')[0]}`)
}

async function textOf(stream: Readable | undefined): Promise<string> {
  let text = ''
  if (stream) for await (const chunk of stream) if (text.length < 8192) text += String(chunk)
  return text
}
