import type { Readable } from 'node:stream'
import { printable } from '../../core/names.ts'
import { openTarReader, type ReadEntry } from '../image/tar-reader.ts'
import { type ArchiveEntry, discard, refused } from './entries.ts'

type TarEvent = { begins: ReadEntry } | { piece: Buffer } | 'ends'

/** Directories are left out, as git knows none. The body of each entry must be read in its turn. */
export async function* readTar(stream: Readable): AsyncGenerator<ArchiveEntry> {
  const events = tarEvents(stream)
  try {
    for (;;) {
      const { value, done } = await events.next()
      if (done) return
      if (value === 'ends' || !('begins' in value)) continue
      const body = bodyOf(events)
      const entry = entryOf(value.begins, body)
      if (entry) yield entry
      await discard(body)
    }
  } finally {
    await events.return(undefined) // closes the file when the rest is not wanted
  }
}

async function* tarEvents(stream: Readable): AsyncGenerator<TarEvent> {
  let events: TarEvent[] = []
  const reader = openTarReader({
    begin: (entry) => void events.push({ begins: entry }),
    content: (piece) => void events.push({ piece }),
    end: () => void events.push('ends'),
  })
  for await (const chunk of stream) {
    reader.write(chunk)
    yield* events
    events = []
  }
  reader.end()
}

async function* bodyOf(events: AsyncGenerator<TarEvent>): AsyncGenerator<Buffer> {
  for (;;) {
    const { value, done } = await events.next()
    if (done || value === 'ends') return
    if ('piece' in value) yield value.piece
  }
}

function entryOf(entry: ReadEntry, body: AsyncIterable<Buffer>): ArchiveEntry | undefined {
  const path = utf8(entry.path)
  const executable = (entry.mode & 0o100) !== 0
  const common = { path, executable, target: utf8(entry.target), bytes: entry.size, body }
  if (entry.kind === 'file') return { ...common, kind: 'file' }
  if (entry.kind === 'symlink') return { ...common, kind: 'link' }
  if (entry.kind === 'hardlink') return { ...common, kind: 'same-as' }
  if (entry.kind === 'directory') return undefined
  const what = entry.kind === 'fifo' ? 'a named pipe' : 'a device'
  throw refused(`"${printable(path)}" is ${what}`)
}

function utf8(latin1: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(latin1, 'latin1'))
  } catch {
    throw refused('the name of one of its files is not UTF-8')
  }
}
