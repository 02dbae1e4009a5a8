import type { PaasConfig } from '../../core/config.ts'
import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import { logFile, ownLogId } from '../../runner/log-files.ts'
import { appendLog, type Line, linesNow, type Said } from '../../runner/logs.ts'

/** What paas itself has to say to an app's log, a line at a time and in the order it was said. */
export type Journal = ReturnType<typeof openJournal>

export type JournalSource = { process: string; release: number; id?: string }

/** What may wait for the disk, of one app; a build that floods must not take all memory. */
const waitingBytesMost = 2 * 1024 * 1024
/** What a line takes of memory beside its text. */
const lineBytes = 128

type Page = { source: JournalSource; lines: Line[]; leftOut: number }
type Batch = { pages: Map<string, Page>; bytes: number }

export function openJournal(config: PaasConfig) {
  const waiting = new Map<string, Batch>()
  const last = new Map<string, Promise<void>>()
  const spoken = new Set<string>()

  /** Writes behind the caller's back: a full disk may cost log lines, never a deploy. */
  function write(app: string, source: JournalSource, said: Said): void {
    spoken.add(app)
    const batch = waiting.get(app) ?? begin(app)
    const file = logFile({ id: ownLogId, ...source })
    const page = batch.pages.get(file) ?? { source, lines: [], leftOut: 0 }
    batch.pages.set(file, page)
    for (const line of typeof said === 'string' ? linesNow(said) : said) {
      if (batch.bytes > waitingBytesMost) {
        page.leftOut += 1
        continue
      }
      batch.bytes += line.text.length + lineBytes
      page.lines.push(line)
    }
  }

  /** All that is said until what was said before is on disk will be written at once. */
  function begin(app: string): Batch {
    const batch: Batch = { pages: new Map(), bytes: 0 }
    waiting.set(app, batch)
    const before = last.get(app) ?? Promise.resolve()
    const next = before
      .then(async () => {
        waiting.delete(app)
        for (const page of batch.pages.values()) {
          await appendLog(paths(config).logs(app), page.source, withCount(page))
        }
      })
      .catch((error) => logError('journal-failed', error, { app }))
      .finally(() => {
        if (last.get(app) === next) last.delete(app)
      })
    last.set(app, next)
    return batch
  }

  return {
    write,
    /** Apps of which something was said since the last call. */
    spoken(): string[] {
      const apps = [...spoken]
      spoken.clear()
      return apps
    },
    /** Resolves when all that was said of an app so far is in its log. */
    settled: (app: string) => last.get(app) ?? Promise.resolve(),
  }
}

function withCount({ lines, leftOut }: Page): Line[] {
  if (leftOut === 0) return lines
  const text = `… ${leftOut} lines left out, they came faster than the disk takes them`
  return [...lines, { at: new Date(), text }]
}
