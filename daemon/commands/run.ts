import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { parseDuration } from '../../core/measures.ts'
import { parseConfigKey, printable } from '../../core/names.ts'
import type { Release } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import type { Member } from '../fleet/fleet.ts'
import { mebibytes } from '../fleet/deaths.ts'
import { processType } from '../fleet/processes.ts'
import { enterProcess, runOneOff } from '../runs/one-off.ts'
import { describeEnd, durationMs } from '../runs/run-words.ts'
import type { Active, Wish } from '../runs/run-facts.ts'
import { shellText } from '../../core/shell-text.ts'
import type { Run } from '../store/runs.ts'
import type { Call, Command } from './command.ts'
import { columns, print } from './output.ts'
import { usageFailure } from './parse.ts'

const options = {
  env: { type: 'string', value: 'KEY=VALUE', multiple: true, help: 'One more variable' },
  ttl: { type: 'string', value: 'TIME', help: 'How long it may run, such as 90s, 30m; 24h' },
} as const

/** bash where the stack has it. */
const anyShell = ['sh', '-c', 'if command -v bash >/dev/null; then exec bash; else exec sh; fi']

export const runCommands: Command[] = [
  {
    name: 'run',
    usage: '[--env KEY=VALUE] [--ttl TIME] APP COMMAND [ARGUMENT ...]',
    summary: 'Run a command in a new container of the app; it ends with the connection',
    app: true,
    verbatim: true,
    options,
    run: async (call, daemon) => {
      const exit = await runOneOff(daemon, releaseOf(call, daemon), wishOf(call), call.session)
      const { oom, memory } = exit
      if (oom) {
        const all = memory ? `all of its ${mebibytes(memory.limitBytes)}` : 'all of its memory'
        await print(call.session.stderr, [` !     killed: used ${all}`])
      }
      return exit.code
    },
  },
  {
    name: 'run:detached',
    usage: '[--env KEY=VALUE] [--ttl TIME] APP COMMAND [ARGUMENT ...]',
    summary: 'Run a command in the background; its output goes to the log of the app',
    app: true,
    verbatim: true,
    options,
    run: async (call, daemon) => {
      const app = call.app()
      const wish = wishOf(call)
      const { signal } = call.session
      const run = await daemon.runs.start(app, releaseOf(call, daemon), wish, null, signal)
      const { process, deadlineAt } = run
      return {
        lines: [
          `-----> ${process} runs in the background, until ${deadlineAt} at most`,
          `       Output: logs ${app.name} -p ${process} -t`,
        ],
        json: { process, deadlineAt },
      }
    },
  },
  {
    name: 'run:list',
    usage: 'APP',
    summary: 'List what runs beside the processes of an app, and what ran in the background',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const running = daemon.runs.of(app.name).map(describeActive)
      const ended = daemon.store.runs(app).filter(({ status, job }) => {
        return status !== 'running' && job === null
      })
      const all = [...running, ...ended.map(describeRun)]
      const rows = all.map(({ process, state, by, seconds, command }) => {
        return [process, state, `${seconds} s`, by, command]
      })
      return { lines: columns([['RUN', 'STATE', 'TIME', 'BY', 'COMMAND'], ...rows]), json: all }
    },
  },
  {
    name: 'run:stop',
    usage: 'APP RUN',
    summary: 'Stop a run, such as run.3, or every run of a cron job, such as cron.2',
    app: true,
    run: async (call, daemon) => {
      const [name] = call.args
      if (name === undefined) throw usageFailure(call.command, 'run:stop needs the name of a run')
      const { name: app } = call.app()
      const found = daemon.runs.of(app).filter(({ process }) => process === name)
      if (found.length === 0) {
        const there = daemon.runs.of(app).map(({ process }) => process)
        throw new Failure('failed', `${app} has no run "${printable(name)}" now`, {
          hint: there.length === 0 ? 'Nothing runs' : `There is: ${there.join(', ')}`,
        })
      }
      for (const run of found) run.stop(`stopped by ${call.session.identity.name}`)
      await Promise.all(found.map(({ ended }) => ended))
      return { lines: [`-----> Stopped ${name}`], json: { stopped: name } }
    },
  },
  {
    name: 'enter',
    usage: 'APP [PROCESS] [COMMAND [ARGUMENT ...]]',
    summary: 'Run a shell, or a command, inside a process or type that runs; web.1 unless named',
    app: true,
    verbatim: true,
    options: {},
    run: async (call, daemon) => {
      const { member, argv } = pickProcess(call, daemon)
      if (daemon.fleet.isPaused(member)) throw pausedFailure(call, member)
      return enterProcess(daemon, member, argv.length > 0 ? argv : anyShell, call.session)
    },
  },
]

function releaseOf(call: Call, daemon: Daemon): Release {
  const { name } = call.app()
  const release = daemon.store.currentRelease(name)
  if (release) return release
  throw new Failure('failed', `${name} has no release yet`, {
    hint: 'Push code first: git push paas main',
  })
}

function wishOf(call: Call): Wish {
  if (call.args.length === 0) {
    throw usageFailure(call.command, `${call.command.name} needs a command`)
  }
  const { env, ttl } = call.options
  const pairs = Array.isArray(env) ? env : []
  return {
    argv: call.args,
    command: shellText(call.args),
    env: Object.fromEntries(pairs.map(parsePair)),
    ttlMs: ttl === undefined ? limits.runTtlMs : parseTtl(call, String(ttl)),
    by: call.session.identity.name,
  }
}

function parsePair(pair: string): [string, string] {
  const at = pair.indexOf('=')
  if (at === -1) throw new Failure('usage', '--env wants KEY=VALUE')
  return [parseConfigKey(pair.slice(0, at)), pair.slice(at + 1)]
}

/** A bare number is seconds. */
function parseTtl(call: Call, text: string): number {
  const ms = parseDuration(/\d$/.test(text) ? `${text}s` : text) ?? NaN
  if (ms >= 1000 && ms <= limits.runTtlMostMs) return ms
  throw usageFailure(call.command, '--ttl wants a time such as 90s, 30m or 24h, at most 7d')
}

/** The first word after the app is a process when it is the name of one, or a type. */
function pickProcess(call: Call, daemon: Daemon): { member: Member; argv: string[] } {
  const { name } = call.app()
  const live = daemon.fleet.of(name).filter(({ state }) => state === 'live')
  const [wish = '', ...rest] = call.args
  const types = daemon.store.currentRelease(name)?.image.processes ?? {}
  const named = Object.hasOwn(types, wish) || /^[a-z][a-z0-9-]*\.\d+$/.test(wish)
  const argv = !named ? call.args : rest[0] === '--' ? rest.slice(1) : rest
  const wanted = named ? wish : 'web'
  const called = live.filter(({ process }) => [process, processType(process)].includes(wanted))
  const [first] = called.sort((a, b) => indexOf(a) - indexOf(b))
  const member = first ?? (!named && live.length === 1 ? live[0] : undefined)
  if (member) return { member, argv }
  const there = live.map(({ process }) => process).sort()
  throw new Failure('failed', `${name} has no running process ${named ? `"${wish}"` : 'web.1'}`, {
    hint: there.length > 0 ? `There is: ${there.join(', ')}` : `Start one: ps:scale ${name} web=1`,
  })
}

function indexOf({ process }: Member): number {
  return Number(process.slice(processType(process).length + 1))
}

function pausedFailure(call: Call, { process }: Member): Failure {
  const { name } = call.app()
  return new Failure('failed', `${process} of ${name} is paused: nothing can start in it`, {
    hint: `Let it go on: ps:resume ${name}`,
  })
}

function describeActive(run: Active) {
  const { process, release, by, command, startedAt, deadlineAt, detached } = run
  const seconds = Math.round(durationMs({ startedAt, finishedAt: null }) / 1000)
  const state = detached ? 'running' : 'attached'
  return { process, state, release: `v${release}`, seconds, by, command, startedAt, deadlineAt }
}

function describeRun(run: Run) {
  const { process, release, by, command, startedAt, deadlineAt, code, finishedAt } = run
  const seconds = Math.round(durationMs(run) / 1000)
  const state = describeEnd(run)
  const facts = { process, state, release: `v${release}`, seconds, by, command, startedAt }
  return { ...facts, deadlineAt, finishedAt, code }
}
