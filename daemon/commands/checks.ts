import { Failure } from '../../core/errors.ts'
import type { App } from '../../core/types.ts'
import { describeProbe } from '../../runner/probe.ts'
import { applySetting } from '../changes.ts'
import { modeOf, stopsFirst, timingOf } from '../fleet/checks.ts'
import type { Daemon } from '../daemon.ts'
import type { CheckMode, CheckSettings } from '../store/nouns.ts'
import type { Answer, Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'

const secondsMost = 3600

/** What `checks:set` knows, and the least number of seconds. */
const times = {
  timeout: { key: 'timeoutMs', least: 1 },
  drain: { key: 'drainMs', least: 0 },
  grace: { key: 'graceMs', least: 0 },
} as const

export const checkCommands: Command[] = [
  {
    name: 'checks:report',
    usage: 'APP',
    summary: 'Show how an app is checked, and how long it may drain and take to stop',
    app: true,
    run: async (call, daemon) => report(daemon, call.app()),
  },
  {
    name: 'checks:set',
    usage: 'APP [timeout=SECONDS] [drain=SECONDS] [grace=SECONDS]',
    summary: 'Set how long until ready, for open requests, and from SIGTERM to SIGKILL',
    app: true,
    run: async (call, daemon) => {
      if (call.args.length === 0) throw usageFailure(call.command, 'checks:set needs NAME=SECONDS')
      const changes = call.args.map((arg) => parseTime(call, arg))
      return set(call, daemon, (settings) => {
        const next: CheckSettings = { ...settings }
        for (const { key, ms } of changes) {
          if (ms === undefined) delete next[key]
          else next[key] = ms
        }
        return next
      })
    },
  },
  modeCommand('disabled', {
    name: 'checks:disable',
    summary: 'Stop the old processes before the new ones start, of all types or of these',
  }),
  modeCommand('skipped', {
    name: 'checks:skip',
    summary: 'Switch to new processes without waiting for them, of all types or of these',
  }),
  modeCommand('enabled', {
    name: 'checks:enable',
    summary: 'Check new processes beside the old ones, of all types or of these',
  }),
]

function modeCommand(mode: CheckMode, about: Pick<Command, 'name' | 'summary'>): Command {
  return {
    ...about,
    usage: 'APP [TYPE ...]',
    app: true,
    run: async (call, daemon) => {
      refuseUnknownType(call, daemon)
      return set(call, daemon, (settings) => ({
        ...settings,
        modes:
          call.args.length === 0
            ? { '*': mode }
            : { ...settings.modes, ...Object.fromEntries(call.args.map((type) => [type, mode])) },
      }))
    },
  }
}

async function set(
  call: Call,
  daemon: Daemon,
  change: (settings: CheckSettings) => CheckSettings,
): Promise<Answer> {
  const app = call.app()
  await applySetting(daemon, app, call.ask, () => {
    daemon.store.setChecks(app.name, change(daemon.store.checks(app.name)))
  })
  const text = [call.command.name, ...call.args].join(' ')
  return { ...report(daemon, app), event: { kind: 'checks', text } }
}

function report(daemon: Daemon, app: App): Answer {
  const settings = daemon.store.checks(app.name)
  const timing = timingOf(daemon.config, settings)
  const image = daemon.store.currentRelease(app.name)?.image
  const types = Object.keys(image?.processes ?? {}).filter((type) => type !== 'release')
  const perType = types.map((type) => {
    const mode = modeOf(settings, type)
    const exclusive = image ? stopsFirst(image, type, mode) : false
    const checks = (image?.appJson?.healthchecks[type] ?? []).map((check) => ({
      type: check.type,
      asks: describeProbe(check.probe),
      attempts: check.attempts,
      timeoutSeconds: check.timeoutMs / 1000,
    }))
    return { type, mode, stopsFirst: exclusive, checks }
  })
  const seconds = {
    timeout: timing.readyMs / 1000,
    drain: timing.drainMs / 1000,
    grace: timing.graceMs / 1000,
  }
  const lines = [
    ...Object.entries(seconds).map(([name, count]) => `       ${`${name}:`.padEnd(9)}${count} s`),
    ...(modeOf(settings, '*') === 'enabled' ? [] : [`       all:     ${modeOf(settings, '*')}`]),
    ...perType.flatMap(({ type, mode, stopsFirst: first, checks }) => [
      `       ${type}: ${mode}${first ? ', the old stops first' : ''}`,
      ...checks.map(({ type: kind, asks }) => `         ${kind}: ${asks}`),
    ]),
  ]
  return { lines, json: { seconds, types: perType } }
}

/** `drain=10`; `drain=` goes back to what all apps have. */
function parseTime(call: Call, arg: string) {
  const [, name = '', text = ''] = /^(\w+)=(\d+(?:\.\d+)?|)$/.exec(arg) ?? []
  const time = Object.entries(times).find(([known]) => known === name)?.[1]
  if (!time) throw usageFailure(call.command, `Expected timeout=, drain= or grace= with seconds`)
  const seconds = Number(text)
  if (text !== '' && (seconds < time.least || seconds > secondsMost)) {
    throw usageFailure(call.command, `${name} can be ${time.least} to ${secondsMost} seconds`)
  }
  return { key: time.key, ms: text === '' ? undefined : seconds * 1000 }
}

function refuseUnknownType(call: Call, daemon: Daemon): void {
  const release = daemon.store.currentRelease(call.app().name)
  const known = Object.keys(release?.image.processes ?? {}).filter((type) => type !== 'release')
  const unknown = call.args.find((type) => !known.includes(type))
  if (unknown === undefined) return
  throw new Failure('failed', `${call.app().name} has no process type "${unknown}"`, {
    hint: release ? `It has: ${known.join(', ')}` : 'Push code first: git push paas main',
  })
}
