import { Failure } from '../../core/errors.ts'
import { paths, printable } from '../../core/names.ts'
import { followLogs, type LogLine, tailLogs } from '../../runner/logs.ts'
import type { Call, Command } from './command.ts'
import { print } from './output.ts'
import { usageFailure } from './parse.ts'

const linesMost = 10_000

export const logCommands: Command[] = [
  {
    name: 'logs',
    usage: 'APP',
    summary: 'Show the last log lines of an app: builds, releases and processes',
    app: true,
    options: {
      tail: { type: 'boolean', short: 't', help: 'Go on with new lines until interrupted' },
      num: { type: 'string', short: 'n', value: 'N', help: 'How many lines; 100 unless given' },
      ps: {
        type: 'string',
        short: 'p',
        value: 'TYPE',
        help: 'Only this process or type: web.1, web',
      },
      release: { type: 'string', value: 'vN', help: 'Only lines of this release' },
    },
    run: async (call, daemon) => {
      const dir = paths(daemon.config).logs(call.app().name)
      const filter = parseFilter(call)
      const { lines, end } = await tailLogs(dir, filter)
      if (!call.options.tail) return { lines: lines.map(format), json: lines }
      await print(call.session.stdout, lines.map(call.json ? toJson : format))
      await followLogs(
        dir,
        { ...filter, from: end },
        (line) => print(call.session.stdout, [call.json ? toJson(line) : format(line)]),
        call.session.signal,
      )
      return 0
    },
  },
]

function parseFilter(call: Call) {
  const { num, ps, release } = call.options
  const lines = num === undefined ? 100 : Number(num)
  if (!Number.isInteger(lines) || lines < 0 || lines > linesMost) {
    throw usageFailure(call.command, `-n wants a number from 0 to ${linesMost}`)
  }
  const [, version] = /^v?(\d{1,9})$/.exec(String(release ?? '')) ?? []
  if (release !== undefined && version === undefined) {
    throw new Failure('usage', `"${printable(String(release))}" is not a release, such as v7`)
  }
  return {
    lines,
    ...(ps === undefined ? {} : { process: String(ps) }),
    ...(version === undefined ? {} : { release: Number(version) }),
  }
}

function format({ at, process, text }: LogLine): string {
  return `${at} ${process}: ${text}`
}

function toJson(line: LogLine): string {
  return JSON.stringify(line)
}
