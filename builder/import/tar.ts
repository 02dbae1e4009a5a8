import type { Readable } from 'node:stream'
import { printable } from '../../core/names.ts'
import { openTarReader, type ReadEntry } from '../image/tar-reader.ts'
import { type ArchiveEntry, discard, refused } from './entries.ts'

/**
 * The files of a tar archive as they come; directories are left out, as git knows none. The body of
 * each entry must be read in its turn.
 */
export async function* readTar(stream: Readable): AsyncGenerator<ArchiveEntry> {
  const events = eventsOf(stream)
  try {
    for (;;) {
      const { value: event, done } = await events.next()
      if (done) return
      if (!('begin' in event)) continue
      const body = bodyOf(events)
      const entry = archiveEntry(event.begin, body)
      if (entry) yield entry
      await discard(body)
    }
  } finally {
    await events.return(undefined) // closes the stream for whoever stops early
  }
}

type TarEvent = { begin: ReadEntry } | { piece: Buffer } | { end: ReadEntry }

async function* eventsOf(stream: Readable): AsyncGenerator<TarEvent> {
  const events: TarEvent[] = []
  const reader = openTarReader({
    begin: (entry) => void events.push({ begin: entry }),
    content: (piece) => void events.push({ piece }),
    end: (entry) => void events.push({ end: entry }),
  })
  for await (const chunk of stream) {
    reader.write(chunk)
    yield* events.splice(0)
  }
  reader.end()
}

async function* bodyOf(events: AsyncGenerator<TarEvent>): AsyncGenerator<Buffer> {
  for (;;) {
    const { value: event, done } = await events.next()
    if (done || 'end' in event) return
    if ('piece' in event) yield event.piece
  }
}

function archiveEntry(
  { path: bytes, kind, mode, size, target: link }: ReadEntry,
  body: AsyncIterable<Buffer>,
): ArchiveEntry | undefined {
  const path = textOf(bytes)
  if (kind === 'directory') return undefined
  if (kind === 'device') throw refused(`"${printable(path)}" is a device`)
  if (kind === 'fifo') throw refused(`"${printable(path)}" is a named pipe`)
  const kinds = { file: 'file', symlink: 'link', hardlink: 'same-as' } as const
  const executable = (mode & 0o100) !== 0
  return { path, kind: kinds[kind], executable, target: textOf(link), bytes: size, body }
}

/** Names are bytes; git's are to be text. */
function textOf(latin1: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(latin1, 'latin1'))
  } catch {
    throw refused('the name of one of its files is not UTF-8')
  }
}
