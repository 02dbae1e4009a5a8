import { limits } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { parseSize, parseWhen } from '../../core/measures.ts'
import { paths, printable } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import { followLogs, type LogLine, type LogPosition, tailLogs } from '../../runner/logs.ts'
import type { Daemon } from '../daemon.ts'
import { openGrep } from '../logs/grep.ts'
import type { Death } from '../store/nouns.ts'
import { refuseLocked } from '../apps/locks.ts'
import type { Answer, Call, Command } from './command.ts'
import { print } from './output.ts'
import { usageFailure } from './parse.ts'

const linesUsual = 100
const linesMost = 10_000

export const logCommands: Command[] = [
  {
    name: 'logs',
    usage: 'APP',
    summary: 'Show the last log lines of an app: builds, releases, processes and requests',
    app: true,
    options: {
      tail: { type: 'boolean', short: 't', help: 'Go on with new lines until interrupted' },
      num: { type: 'string', short: 'n', value: 'N', help: 'How many lines; 100 unless given' },
      ps: {
        type: 'string',
        short: 'p',
        value: 'TYPE',
        help: 'Only this process or type: web.1, web, build, router, paas',
      },
      release: { type: 'string', value: 'vN', help: 'Only lines of this release' },
      since: { type: 'string', value: 'WHEN', help: 'Only from then on: 1h, 2d, or a time' },
      until: { type: 'string', value: 'WHEN', help: 'Only before then' },
      grep: { type: 'string', value: 'RE', help: 'Only lines that match a regular expression' },
      from: { type: 'string', value: 'POSITION', help: 'Where an earlier -t had come to' },
      failed: { type: 'boolean', help: 'Only what the last process or build that failed said' },
    },
    run: async (call, daemon) => show(call, daemon),
  },
  {
    name: 'logs:limit',
    usage: 'APP [SIZE]',
    summary: 'Show or change how much log an app may keep on disk',
    app: true,
    run: async (call, daemon) => {
      const [size] = call.args
      if (size !== undefined) {
        refuseLocked(daemon.store, call.app().name)
        daemon.store.setLogLimit(call.app(), parseLimit(call, size))
      }
      const bytes = daemon.store.logLimit(call.app())
      const shown = `${bytes / 1024 ** 2} MiB`
      const answer: Answer = { lines: [`       ${shown}`], json: { bytes } }
      if (size !== undefined) answer.event = { kind: 'logs', text: `Limited the log to ${shown}` }
      return answer
    },
  },
]

async function show(call: Call, daemon: Daemon) {
  const app = call.app()
  const { signal, stdout } = call.session
  const directory = paths(daemon.config).logs(app.name)
  const failed = call.options.failed ? lastFailed(daemon, app) : undefined
  const pattern = call.options.grep
  await using grep = pattern === undefined ? undefined : openGrep(String(pattern), signal)
  const filter = { ...parseFilter(call), ...failed?.filter, ...(grep && { match: grep.match }) }
  const found = await tailLogs(directory, filter)
  const lines = found.lines.length > 0 ? found.lines : keptLines(failed?.death)
  if (!call.options.tail) return { lines: lines.map(format), json: lines }
  const shown = call.json ? toJson : format
  await print(stdout, lines.map(shown))
  const { signal: stopping } = daemon.farewell
  await followLogs(
    directory,
    {
      ...filter,
      from: givenPosition(call) ?? found.end,
      onPosition: (at) => sayPosition(call, at),
    },
    (line) => print(stdout, [shown(line)]),
    signal,
  )
  stopIfCancelled(stopping)
  return 0
}

/** The same call, but to begin behind what has been shown. */
function sayPosition({ session }: Call, position: LogPosition): void {
  const { argv } = session
  const before = argv.filter((word, index) => word !== '--from' && argv[index - 1] !== '--from')
  session.resume?.([...before, '--from', JSON.stringify(position)])
}

function givenPosition(call: Call): LogPosition | undefined {
  const { from } = call.options
  if (from === undefined) return undefined
  try {
    const value: unknown = JSON.parse(String(from))
    const pairs = Object.entries(typeof value === 'object' && value !== null ? value : {})
    return Object.fromEntries(pairs.map(([inode, offset]) => [inode, Number(offset)]))
  } catch {
    throw usageFailure(call.command, '--from wants a position that paas has told')
  }
}

function parseFilter(call: Call) {
  const { num, ps, release, since, until, from } = call.options
  const lines = num === undefined ? (since ? linesMost : linesUsual) : Number(num)
  if (!Number.isInteger(lines) || lines < 0 || lines > linesMost) {
    throw usageFailure(call.command, `-n wants a number from 0 to ${linesMost}`)
  }
  const [, version] = /^v?(\d{1,9})$/.exec(String(release ?? '')) ?? []
  if (release !== undefined && version === undefined) {
    throw new Failure('usage', `"${printable(String(release))}" is not a release, such as v7`)
  }
  return {
    lines: from === undefined ? lines : 0, // what was before it has been shown
    ...(ps === undefined ? {} : { process: String(ps) }),
    ...(version === undefined ? {} : { release: Number(version) }),
    ...(since === undefined ? {} : { since: parseWhen('--since', String(since)) }),
    ...(until === undefined ? {} : { until: parseWhen('--until', String(until)) }),
  }
}

/** The container that died last, or the build, when that failed later for a reason of its own. */
function lastFailed(daemon: Daemon, app: App) {
  const [death] = daemon.store.deaths(app)
  const build = daemon.store.builds(app).find(({ status }) => status === 'failed')
  if (death && death.at >= (build?.createdAt ?? '')) {
    return { death, filter: { id: death.container } }
  }
  if (build) return { filter: { process: `build.${build.number}` } }
  throw new Failure('failed', `Nothing of ${app.name} has failed`)
}

/** The last words that were kept with a death, when the log itself has forgotten them. */
function keptLines(death: Death | undefined): LogLine[] {
  if (!death) return []
  const { at, process, release } = death
  return death.lines.map((text) => ({ at, process, release, stream: 'stdout', text }))
}

function parseLimit(call: Call, text: string): number {
  const bytes = parseSize(text)
  const { logBytesLeast: least, logBytesMost: most } = limits
  if (bytes !== undefined && bytes >= least && bytes <= most) return bytes
  const [from, to] = [least / 1024 ** 2, most / 1024 ** 2]
  throw usageFailure(call.command, `The limit is a size from ${from}m to ${to}m`)
}

function format({ at, process, text }: LogLine): string {
  return `${at} ${process}: ${text}`
}

function toJson(line: LogLine): string {
  return JSON.stringify(line)
}
