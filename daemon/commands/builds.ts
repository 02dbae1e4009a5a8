import { Failure } from '../../core/errors.ts'
import { paths, printable } from '../../core/names.ts'
import { tailLogs } from '../../runner/logs.ts'
import { planCommit } from '../code/build.ts'
import type { Daemon } from '../daemon.ts'
import type { Build } from '../store/nouns.ts'
import type { Call, Command } from './command.ts'
import { columns } from './output.ts'

const outputLinesMost = 10_000

export const buildCommands: Command[] = [
  {
    name: 'builds',
    usage: 'APP',
    summary: 'List the last builds, newest first',
    app: true,
    run: async (call, daemon) => {
      const builds = daemon.store.builds(call.app()).map(describe)
      const rows = builds.map(({ number, status, commit, by, createdAt, seconds, error }) => [
        `#${number}`,
        status,
        commit.slice(0, 7),
        by,
        createdAt,
        seconds === null ? '-' : `${seconds} s`,
        error ?? '',
      ])
      const head = ['BUILD', 'STATUS', 'COMMIT', 'BY', 'AT', 'TOOK', 'ERROR']
      return { lines: columns([head, ...rows]), json: builds }
    },
  },
  {
    name: 'builds:info',
    usage: 'APP [N]',
    summary: 'Show what is known of a build, the last one unless N is given',
    app: true,
    run: async (call, daemon) => {
      const facts = describe(findBuild(call, daemon))
      const rows = Object.entries(facts).map(([key, value]) => [`${key}:`, String(value ?? '-')])
      return { lines: columns(rows), json: facts }
    },
  },
  {
    name: 'builds:output',
    usage: 'APP [N]',
    summary: 'Print what a build said, the last one unless N is given',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const { number } = findBuild(call, daemon)
      await daemon.journal.settled(app.name)
      const filter = { process: `build.${number}`, lines: outputLinesMost }
      const { lines } = await tailLogs(paths(daemon.config).logs(app.name), filter)
      if (lines.length === 0) {
        throw new Failure('failed', `The output of build #${number} is not kept any more`, {
          hint: 'The log of an app is a ring: the oldest goes first',
        })
      }
      if (lines.length === outputLinesMost) {
        call.say(` !     Only the last ${outputLinesMost} lines are shown`)
      }
      return { lines: lines.map(({ text }) => text), json: lines }
    },
  },
  {
    name: 'builds:cancel',
    usage: 'APP [N]',
    summary: 'End a build that waits or runs, the last one unless N is given',
    app: true,
    run: async (call, daemon) => {
      const { id, number } = goingBuild(call, daemon) ?? findBuild(call, daemon)
      const ran = await daemon.builds.cancel(id, call.session.identity.name)
      const build = daemon.store.builds(call.app()).find((one) => one.id === id)
      if (build?.status === 'cancelled' && ran) {
        return { lines: [`-----> Cancelled build #${number}`], json: describe(build) }
      }
      const status = build?.status ?? 'gone'
      const is = status === 'cancelled' ? 'was cancelled' : `has ${status}`
      throw new Failure('failed', `Build #${number} is not running: it ${is}`, {
        hint: ran ? 'The cancel came after the switch, which it does not undo' : '',
      })
    },
  },
  {
    name: 'builds:plan',
    usage: 'APP',
    summary: 'Print, as JSON, how the last pushed commit would be built, without building it',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      if (!app.deployBranch) {
        throw new Failure('failed', `${app.name} has no code yet`, {
          hint: 'Push code first: git push paas main',
        })
      }
      // What is printed is read as JSON: of what is said meanwhile the warnings alone are.
      const say = (line: string) => (line.startsWith(' !') ? call.say(line) : undefined)
      const plan = await planCommit(daemon, app, app.deployBranch, say, call.session.signal)
      return { lines: JSON.stringify(plan, null, 2).split('\n'), json: plan }
    },
  },
]

/** `seconds` from when its turn had come to its end, or to now; null while it waits. */
function describe({ id: _id, ...build }: Build) {
  const end = build.finishedAt === null ? Date.now() : Date.parse(build.finishedAt)
  const ms = build.startedAt === null ? null : end - Date.parse(build.startedAt)
  return { ...build, seconds: ms === null ? null : Math.round(ms / 100) / 10 }
}

/** The newest that waits or runs, where none is named: a later one may have been refused since. */
function goingBuild(call: Call, daemon: Daemon): Build | undefined {
  if (call.args.length > 0) return undefined
  return daemon.store.builds(call.app()).find(({ finishedAt }) => finishedAt === null)
}

function findBuild(call: Call, daemon: Daemon): Build {
  const [wanted] = call.args
  const builds = daemon.store.builds(call.app())
  const [, number] = /^#?(\d{1,9})$/.exec(wanted ?? '') ?? []
  const found =
    wanted === undefined ? builds[0] : builds.find((one) => one.number === Number(number))
  if (found) return found
  const what = wanted === undefined ? 'build yet' : `build "${printable(wanted)}"`
  throw new Failure('failed', `${call.app().name} has no ${what}`, {
    hint: `Those that are kept: builds ${call.app().name}`,
  })
}
