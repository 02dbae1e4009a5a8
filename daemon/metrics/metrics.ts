import { kernelNames } from '../../core/names.ts'
import type { Instance } from '../../core/types.ts'
import type { AccessEntry } from '../../router/access-log.ts'
import { readUsage, type Usage } from '../../runner/usage.ts'
import type { Daemon } from '../daemon.ts'
import { Latencies } from './latencies.ts'
import type { Death } from '../store/nouns.ts'

/** Whom a request went to: `process` is `router` when the router itself answered. */
export type Served = { app: string; process: string; release: number }

export type Requests = {
  total: number
  /** Answers by class: `2xx`, `5xx` and so on; `0xx` is a client that left. */
  classes: Record<string, number>
}

/** All that was counted, as plain values; times of requests are not among it. */
export type Counts = {
  series: (Served & Requests & { usedAt: number })[]
  deaths: [key: string, count: number][]
}

type Series = Served & Requests & { now: Latencies; before: Latencies; usedAt: number }

const windowMs = 5 * 60 * 1000
/** A series that nobody added to for an hour is forgotten; more than this many are never kept. */
const idleMs = 60 * 60 * 1000
const seriesMost = 20_000

/**
 * Counts of what apps do, in memory: from the router's log, from deaths, and from the control
 * groups when asked. Percentiles are of the last five to ten minutes, all else since the machine
 * started.
 */
export class Metrics {
  readonly #daemon: Pick<Daemon, 'config' | 'fleet'>
  readonly #series = new Map<string, Series>()
  readonly #deaths = new Map<string, number>()
  readonly #listeners = new Set<(served: Served, entry: AccessEntry) => void>()
  #cpu = new Map<string, { at: number; cpuSeconds: number }>()
  #turnedAt = Date.now()

  constructor(daemon: Pick<Daemon, 'config' | 'fleet'>) {
    this.#daemon = daemon
  }

  request(served: Served, entry: AccessEntry): void {
    const one = this.#series.get(keyOf(served)) ?? this.#begin(served)
    one.total += 1
    const name = `${Math.floor(entry.status / 100)}xx`
    one.classes[name] = (one.classes[name] ?? 0) + 1
    one.now.add(entry.ms)
    one.usedAt = entry.at
    for (const listener of this.#listeners) listener(served, entry)
  }

  died({ app, process }: Pick<Instance, 'app' | 'process'>, cause: Death['cause']): void {
    const key = `${app}/${process}/${cause}`
    this.#deaths.set(key, (this.#deaths.get(key) ?? 0) + 1)
  }

  counts(): Counts {
    const series = [...this.#series.values()].map(({ now: _now, before: _before, ...one }) => one)
    return { series, deaths: [...this.#deaths] }
  }

  /** Counts on from what an earlier daemon had counted. */
  restore({ series, deaths }: Counts): void {
    for (const one of series) Object.assign(this.#begin(one), one)
    for (const [key, count] of deaths) this.#deaths.set(key, count)
  }

  /** Deaths by app, process and cause. */
  deaths(): { app: string; process: string; cause: string; count: number }[] {
    return [...this.#deaths].map(([key, count]) => {
      const [app = '', process = '', cause = ''] = key.split('/')
      return { app, process, cause, count }
    })
  }

  /** Calls back with every request from now on. */
  listen(listener: (served: Served, entry: AccessEntry) => void): void {
    this.#listeners.add(listener)
  }

  /** What was asked, by process and release; of an app, or all. */
  requests(app?: string) {
    return [...this.#series.values()]
      .filter((one) => app === undefined || one.app === app)
      .map(({ app: name, process, release, total, classes, now, before }) => {
        const latencies = new Latencies()
        latencies.take(now)
        latencies.take(before)
        return { app: name, process, release, total, classes, latencies }
      })
  }

  /**
   * What each container uses right now; those of an app, or all. `cores` is the CPU it had on
   * average since the last slow tick, or since its start.
   */
  usage(app?: string): { instance: Instance; usage: Usage; cores: number }[] {
    const { config, fleet } = this.#daemon
    const members = app === undefined ? fleet.all() : fleet.of(app)
    return members.flatMap((instance) => {
      const usage = readUsage(kernelNames(config).cgroup(instance.id))
      if (!usage) return []
      const from = this.#cpu.get(instance.id) ?? { at: instance.startedAt, cpuSeconds: 0 }
      const seconds = Math.max(1, Date.now() - from.at) / 1000
      return [{ instance, usage, cores: (usage.cpuSeconds - from.cpuSeconds) / seconds }]
    })
  }

  /** Remembers the CPU used so far, and moves the window of the percentiles on. */
  turn(): void {
    const at = Date.now()
    const running = this.usage().map(({ instance, usage }) => {
      return [instance.id, { at, cpuSeconds: usage.cpuSeconds }] as const
    })
    this.#cpu = new Map(running)
    if (Date.now() - this.#turnedAt < windowMs) return
    this.#turnedAt = Date.now()
    this.#forget(idleMs)
    for (const one of this.#series.values()) {
      one.before = one.now
      one.now = new Latencies()
    }
  }

  /** Drops all that was counted of an app that is gone. */
  forgetApp(app: string): void {
    const ofApp = (key: string) => key.startsWith(`${app}/`)
    for (const key of this.#series.keys()) if (ofApp(key)) this.#series.delete(key)
    for (const key of this.#deaths.keys()) if (ofApp(key)) this.#deaths.delete(key)
  }

  /** What was counted of one app is of another name from here on. */
  renameApp(from: string, to: string): void {
    for (const [key, one] of [...this.#series]) {
      if (one.app !== from) continue
      this.#series.delete(key)
      one.app = to
      this.#series.set(keyOf(one), one)
    }
    for (const [key, count] of [...this.#deaths]) {
      if (!key.startsWith(`${from}/`)) continue
      this.#deaths.delete(key)
      this.#deaths.set(`${to}${key.slice(from.length)}`, count)
    }
  }

  #begin(served: Served): Series {
    if (this.#series.size >= seriesMost) this.#forget(0)
    const fresh = { total: 0, classes: {}, now: new Latencies(), before: new Latencies() }
    const one: Series = { ...served, ...fresh, usedAt: Date.now() }
    this.#series.set(keyOf(served), one)
    return one
  }

  #forget(keptMs: number): void {
    for (const [key, { usedAt }] of this.#series) {
      if (Date.now() - usedAt >= keptMs) this.#series.delete(key)
    }
  }
}

function keyOf({ app, process, release }: Served): string {
  return `${app}/${process}/${release}`
}
