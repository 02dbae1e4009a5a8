import type { PaasConfig } from '../../core/config.ts'
import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import { appendLog, type Said } from '../../runner/logs.ts'

/** What paas itself has to say to an app's log, a line at a time and in the order it was said. */
export type Journal = ReturnType<typeof openJournal>

export type JournalSource = { process: string; release: number; id?: string }

export function openJournal(config: PaasConfig) {
  const last = new Map<string, Promise<void>>()
  const spoken = new Set<string>()

  /** Writes behind the caller's back: a full disk may cost log lines, never a deploy. */
  function write(app: string, source: JournalSource, said: Said): void {
    spoken.add(app)
    const before = last.get(app) ?? Promise.resolve()
    const next = before
      .then(() => appendLog(paths(config).logs(app), source, said))
      .catch((error) => logError('journal-failed', error, { app }))
      .finally(() => {
        if (last.get(app) === next) last.delete(app)
      })
    last.set(app, next)
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
