import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import { followLogs, type LogLine, type LogPosition, tailLogs } from '../../runner/logs.ts'
import type { Daemon } from '../daemon.ts'
import type { DrainRow } from '../store/logs.ts'
import { Drain } from './drain.ts'
import { outsideOnly } from './own-network.ts'

/**
 * The drains of all apps: each app's log is followed once, whatever the number of its drains. How
 * far all of them have sent is remembered for the next daemon, which goes on from there.
 */

const rememberMs = 1000

type Following = {
  app: string
  /** Where it is remembered how far all drains have sent. */
  memory: string
  drains: Map<string, Drain>
  stop: AbortController
  begun: Promise<unknown>
  /** Lines handed to the drains so far. */
  count: number
  /** A position that is to be remembered once all drains have sent what lies before it. */
  next: { count: number; position: string } | undefined
  lookedAt: number
  remembered: string
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
    if (wanted.length === 0) return this.forget(app)
    const { drains, begun } = following ?? this.#follow(app)
    const rows = new Map(wanted.map((row) => [JSON.stringify(row), row]))
    for (const [key, drain] of drains) {
      if (rows.has(key)) continue
      drain.close()
      drains.delete(key)
    }
    for (const [key, row] of rows) if (!drains.has(key)) drains.set(key, this.#open(row))
    await begun
  }

  forget(app: App): void {
    this.#end(app.name)
    rmSync(this.#memory(app), { force: true })
  }

  #end(app: string): void {
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
    for (const app of this.#apps.keys()) this.#end(app)
  }

  report(app: App) {
    return [...(this.#apps.get(app.name)?.drains.values() ?? [])].map((drain) => drain.report())
  }

  #open({ url, anywhere }: DrainRow): Drain {
    return new Drain(url, anywhere ? undefined : outsideOnly(this.#daemon.config.subnet))
  }

  #memory({ id }: App): string {
    return join(paths(this.#daemon.config).run, `drains-${id}.json`)
  }

  #follow(app: App): Following {
    const directory = paths(this.#daemon.config).logs(app.name)
    const memory = this.#memory(app)
    const known = readPosition(memory)
    const begun = known ? Promise.resolve({ end: known }) : tailLogs(directory, { lines: 0 })
    const following: Following = {
      ...{ app: app.name, memory, drains: new Map(), stop: new AbortController(), begun },
      ...{ count: 0, next: undefined, lookedAt: -Infinity, remembered: '' },
    }
    this.#apps.set(app.name, following)
    const { signal } = following.stop
    const onPosition = (position: LogPosition) => remember(following, position)
    begun
      .then(({ end }) => {
        if (signal.aborted) return
        remember(following, end)
        return followLogs(directory, { from: end, onPosition }, send, signal)
      })
      .catch((error: unknown) => logError('drain-failed', error, { app: app.name }))
    return following

    function send(line: LogLine): void {
      following.count += 1
      for (const drain of following.drains.values()) drain.push({ ...line, app: following.app })
    }
  }
}

/**
 * Writes down, now and then, a position that all drains have sent up to. Whoever is killed between
 * two of these sends a little twice, and loses nothing.
 */
function remember(following: Following, position: LogPosition): void {
  const { count, drains, next, lookedAt, remembered, memory } = following
  const now = performance.now()
  if (now - lookedAt < rememberMs) return
  following.lookedAt = now
  const waiting = Math.max(0, ...[...drains.values()].map((drain) => drain.waiting()))
  const pending = next ?? { count, position: JSON.stringify(position) }
  following.next = pending
  if (waiting > count - pending.count) return
  following.next = undefined
  if (pending.position === remembered) return
  writeFileSync(`${memory}.new`, pending.position, { mode: 0o600 })
  renameSync(`${memory}.new`, memory)
  following.remembered = pending.position
}

function readPosition(file: string): LogPosition | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof value !== 'object' || value === null) return undefined
    return Object.fromEntries(Object.entries(value).map(([inode, at]) => [inode, Number(at)]))
  } catch {
    return undefined // none of its drains has been followed before
  }
}
