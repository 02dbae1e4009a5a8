import { Failure } from '../core/errors.ts'
import { log, logError } from '../core/log.ts'
import { paths } from '../core/names.ts'
import type { App, Exit, Release } from '../core/types.ts'
import { appendLog } from '../runner/logs.ts'
import type { Daemon } from './daemon.ts'
import type { Member } from './fleet.ts'
import { wantedProcesses } from './processes.ts'

/**
 * Compares what each app should run with what the fleet shows, and converges: at boot, after every
 * death of a container, and on a slow tick. Crashes, reboots and upgrades all end here.
 */
export type Reconcile = ReturnType<typeof openReconcile>

const tickMs = 30_000
const firstDelayMs = 100
const longestDelayMs = 30_000
const steadyMs = 10_000
const appsAtOnce = 4

type Trouble = { deaths: number; notBefore: number; reason: string }

export function openReconcile(daemon: Daemon) {
  const troubles = new Map<string, Trouble>()
  const running = new Map<string, Promise<void>>()
  const again = new Set<string>()
  const closing = new AbortController()
  const timers = new Set<NodeJS.Timeout>()

  /** Converges one app; calls that come while it works are answered by one more round. */
  async function app(name: string): Promise<void> {
    const busy = running.get(name)
    if (busy) {
      again.add(name)
      return busy
    }
    const work = (async () => {
      do {
        again.delete(name)
        await converge(name).catch((error) => logError('reconcile-failed', error, { app: name }))
      } while (again.has(name) && !closing.signal.aborted)
    })()
    running.set(name, work)
    await work.finally(() => running.delete(name))
  }

  async function all(): Promise<void> {
    const names = daemon.store.apps().map(({ name }) => name)
    const next = async (): Promise<void> => {
      const name = names.shift()
      if (name === undefined || closing.signal.aborted) return
      await app(name)
      await next()
    }
    await Promise.all(Array.from({ length: appsAtOnce }, next))
  }

  async function converge(name: string): Promise<void> {
    const found = daemon.store.findApp(name)
    if (!found) return
    const release = daemon.store.currentRelease(name)
    const wanted = release
      ? wantedProcesses({ ...release, formation: daemon.store.formation(found) })
      : []
    const { stay, surplus } = sort(daemon.fleet.of(name), release, wanted)
    daemon.fleet.retire(surplus).catch((error) => logError('retire-failed', error, { app: name }))
    await daemon.routes.pointAtCurrent(found)
    if (!release) return
    const missing = wanted.filter((process) => !stay.some((one) => one.process === process))
    await Promise.all(missing.map((process) => startMissing(found, release, process)))
  }

  /** Starts one process that should run and does not, unless it died too often just now. */
  async function startMissing(found: App, release: Release, process: string): Promise<void> {
    const key = `${found.name}/${process}`
    const wait = (troubles.get(key)?.notBefore ?? 0) - Date.now()
    if (wait > 0) return later(found.name, wait)
    try {
      const member = await daemon.fleet.start(release, process, closing.signal)
      try {
        await daemon.fleet.ready(member, () => {}, closing.signal)
        if (!stillWanted(daemon, found, release, process)) throw superseded
        daemon.fleet.adopt([member])
        await daemon.routes.pointAtCurrent(found)
        note(found.name, `${process} is up (v${release.version})`)
      } catch (error) {
        await daemon.fleet.stop([member])
        throw error
      }
    } catch (error) {
      if (error === superseded || closing.signal.aborted) return
      if (!(error instanceof Failure)) logError('start-failed', error, { app: found.name, process })
      stumble(found.name, process, error instanceof Failure ? error.message : 'internal error')
    }
  }

  /** Counts a death and plans the next try: 100 ms, doubling to 30 s. */
  function stumble(name: string, process: string, reason: string): void {
    const key = `${name}/${process}`
    const deaths = (troubles.get(key)?.deaths ?? 0) + 1
    const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** (deaths - 1))
    troubles.set(key, { deaths, notBefore: Date.now() + delay, reason })
    note(name, `${process} is down (${reason}); next try in ${delay / 1000} s`)
    later(name, delay)
  }

  /** A container of a committed release ended by itself. */
  function died(member: Member, exit: Exit): void {
    const key = `${member.app}/${member.process}`
    if (Date.now() - member.startedAt > steadyMs) troubles.delete(key)
    const reason = exit.oom ? 'out of memory' : `exit code ${exit.code}`
    if (daemon.store.currentRelease(member.app)?.version !== member.release) return
    stumble(member.app, member.process, reason)
    void daemon.triggers
      .fire(
        'process-died',
        { app: member.app, args: [member.process, String(exit.code)] },
        () => {},
      )
      .catch((error) => logError('trigger-failed', error, { app: member.app }))
    void app(member.app)
  }

  function later(name: string, delayMs: number): void {
    if (closing.signal.aborted) return
    const timer = setTimeout(() => {
      timers.delete(timer)
      void app(name)
    }, delayMs)
    timers.add(timer)
  }

  function note(name: string, text: string): void {
    log('reconcile', { app: name, text })
    const version = daemon.store.currentRelease(name)?.version ?? 0
    appendLog(paths(daemon.config).logs(name), { process: 'paas', release: version }, text)
  }

  const tick = setInterval(() => void daemon.tick(), tickMs)

  return {
    app,
    all,
    died,
    /** Why a process that should run does not, for `ps`. */
    troubleOf: (name: string, process: string) => {
      const trouble = troubles.get(`${name}/${process}`)
      return trouble && `down: ${trouble.reason}`
    },
    /** A change replaced everything: old troubles say nothing about the new processes. */
    forget: (name: string) => {
      for (const key of troubles.keys()) if (key.startsWith(`${name}/`)) troubles.delete(key)
    },
    close: () => {
      closing.abort(new Failure('temporary', 'paas is shutting down'))
      clearInterval(tick)
      for (const timer of timers) clearTimeout(timer)
    },
  }
}

const superseded = new Failure('failed', 'A newer release took over')

/** Of the live containers, those that the release wants, once each, and the others. */
function sort(members: Member[], release: Release | undefined, wanted: string[]) {
  const stay: Member[] = []
  const surplus: Member[] = []
  for (const member of members.filter(({ state }) => state === 'live')) {
    const good = member.release === release?.version && wanted.includes(member.process)
    const twin = stay.some(({ process }) => process === member.process)
    ;(good && !twin ? stay : surplus).push(member)
  }
  return { stay, surplus }
}

function stillWanted(daemon: Daemon, app: App, release: Release, process: string): boolean {
  const twin = daemon.fleet
    .of(app.name)
    .some(
      (one) => one.state === 'live' && one.process === process && one.release === release.version,
    )
  return daemon.store.currentRelease(app.name)?.id === release.id && !twin
}
