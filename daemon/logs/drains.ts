import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import { followLogs, type LogLine, tailLogs } from '../../runner/logs.ts'
import type { Daemon } from '../daemon.ts'
import type { DrainRow } from '../store/logs.ts'
import { Drain } from './drain.ts'
import { outsideOnly } from './own-network.ts'

/** The drains of all apps: each app's log is followed once, whatever the number of its drains. */

type Following = {
  app: string
  drains: Map<string, Drain>
  stop: AbortController
  begun: Promise<unknown>
}

export class Drains {
  readonly #daemon: Pick<Daemon, 'config' | 'store'>
  readonly #apps = new Map<string, Following>()

  constructor(daemon: Pick<Daemon, 'config' | 'store'>) {
    this.#daemon = daemon
  }

  /** Begins and ends what the store says that an app should have; lines from then on are sent. */
  async sync(app: App): Promise<void> {
    const wanted = this.#daemon.store.drains(app)
    const following = this.#apps.get(app.name)
    if (wanted.length === 0) return this.forget(app.name)
    const { drains, begun } = following ?? this.#follow(app.name)
    const rows = new Map(wanted.map((row) => [JSON.stringify(row), row]))
    for (const [key, drain] of drains) {
      if (rows.has(key)) continue
      drain.close()
      drains.delete(key)
    }
    for (const [key, row] of rows) if (!drains.has(key)) drains.set(key, this.#open(row))
    await begun
  }

  forget(app: string): void {
    const following = this.#apps.get(app)
    following?.stop.abort()
    for (const drain of following?.drains.values() ?? []) drain.close()
    this.#apps.delete(app)
  }

  /** What is followed goes on, and is said to be of an app of another name. */
  rename(from: string, to: string): void {
    const following = this.#apps.get(from)
    if (!following) return
    following.app = to
    this.#apps.delete(from)
    this.#apps.set(to, following)
  }

  close(): void {
    for (const app of this.#apps.keys()) this.forget(app)
  }

  report(app: App) {
    return [...(this.#apps.get(app.name)?.drains.values() ?? [])].map((drain) => drain.report())
  }

  #open({ url, anywhere }: DrainRow): Drain {
    return new Drain(url, anywhere ? undefined : outsideOnly(this.#daemon.config.subnet))
  }

  #follow(app: string): Following {
    const directory = paths(this.#daemon.config).logs(app)
    const begun = tailLogs(directory, { lines: 0 })
    const following: Following = { app, drains: new Map(), stop: new AbortController(), begun }
    this.#apps.set(app, following)
    const send = (line: LogLine) => {
      for (const drain of following.drains.values()) drain.push({ ...line, app: following.app })
    }
    const { signal } = following.stop
    begun
      .then(({ end }) => followLogs(directory, { from: end }, send, signal))
      .catch((error: unknown) => logError('drain-failed', error, { app }))
    return following
  }
}
