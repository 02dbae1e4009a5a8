import { parseArgs } from 'node:util'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Command, Options } from './command.ts'

/** Pure: an argument list to a command of the table and what was given to it. */

export type Parsed = {
  command: Command
  app: string | undefined
  args: string[]
  options: Options
  json: boolean
  quiet: boolean
  force: boolean
  help: boolean
}

const globalOptions = {
  app: { type: 'string' },
  json: { type: 'boolean' },
  quiet: { type: 'boolean' },
  force: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Throws a usage Failure that names the nearest command, the unknown option or the missing app. */
export function parseCommand(argv: string[], table: Command[]): Parsed {
  const start = argv.findIndex((arg, index) => !arg.startsWith('-') && argv[index - 1] !== '--app')
  if (start === -1) return parseCommand(['help'], table)
  const name = argv[start] ?? ''
  const command = table.find((one) => one.name === name)
  if (!command) return namespaceHelp(name, table)
  const before = argv.slice(0, start)
  const after = argv.slice(start + 1)
  if (command.verbatim) return parseVerbatim(command, before, after)
  const { values, positionals } = parse(command, [...before, ...after])
  const ofApp = command.app && values.global !== true
  const app = ofApp ? (text(values.app) ?? positionals.shift()) : undefined
  return parsed(
    command,
    values,
    app,
    command.app ? positionals : withApp(command, values, positionals),
  )
}

/** Where an app is an argument like others, `--app` stands for it all the same. */
function withApp({ usage }: Command, { app }: Options, args: string[]): string[] {
  const place = usage.split(' ').findIndex((word) => /^\[?APP\]?$/.test(word))
  return typeof app !== 'string' || place === -1 ? args : args.toSpliced(place, 0, app)
}

/** `run [--env K=V] APP command…`: our own options end where the app's name stands. */
function parseVerbatim(command: Command, before: string[], after: string[]): Parsed {
  const takesValue = (arg: string) =>
    arg === '--app' || command.options?.[arg.replace(/^--/, '')]?.type === 'string'
  let end = 0
  while (after[end]?.startsWith('-') && after[end] !== '--') {
    end += takesValue(after[end] ?? '') && !after[end]?.includes('=') ? 2 : 1
  }
  const { values } = parse(command, [...before, ...after.slice(0, end)])
  const rest = after.slice(end)
  const app = command.app ? (text(values.app) ?? rest.shift()) : undefined
  if (rest[0] === '--') rest.shift()
  return parsed(command, values, app, rest)
}

function parsed(
  command: Command,
  values: Options,
  app: string | undefined,
  args: string[],
): Parsed {
  const { json, quiet, force, help, app: _app, ...options } = values
  const most = mostArguments(command)
  if (args.length > most && help !== true) {
    throw usageFailure(command, `"${printable(args[most] ?? '')}" is one argument too many`)
  }
  return {
    command,
    app,
    args,
    options,
    json: json === true,
    quiet: quiet === true,
    force: force === true,
    help: help === true,
  }
}

/** As the usage line says: each word after the app is one argument, and `...` any number. */
function mostArguments({ usage, app, verbatim }: Command): number {
  if (verbatim || usage.includes('...')) return Infinity
  const words = usage.replaceAll(/ \| /g, '|').split(' ').filter(Boolean)
  return words.length - (app ? 1 : 0)
}

function parse(command: Command, args: string[]) {
  const own = Object.fromEntries(
    Object.entries(command.options ?? {}).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short && { short }), ...(multiple && { multiple }) },
    ]),
  )
  try {
    const { values, positionals } = parseArgs({
      args,
      options: { ...globalOptions, ...own },
      allowPositionals: true,
      strict: true,
    })
    const plain: Options = {}
    for (const [key, value] of Object.entries(values)) {
      plain[key] = Array.isArray(value) ? value.map(String) : value
    }
    return { values: plain, positionals }
  } catch (error) {
    const sentence = error instanceof Error ? (error.message.split(/\.\s/)[0] ?? '') : String(error)
    throw usageFailure(command, printable(sentence))
  }
}

/** A bare namespace (`config`) prints its help; anything else unknown is an error. */
function namespaceHelp(name: string, table: Command[]): Parsed {
  const help = table.find((one) => one.name === 'help')
  const prefix = name.replace(/:help$/, '')
  if (help && table.some((one) => one.name.startsWith(`${prefix}:`))) {
    return parsed(help, {}, undefined, [prefix])
  }
  const names = table.map((one) => one.name)
  throw new Failure('usage', `"${printable(name)}" is not a command`, {
    hint: [didYouMean(name, names), 'All commands: help'].filter(Boolean).join(' '),
  })
}

/** What was wrong with a call, and how the command is called rightly. */
export function usageFailure(command: Command, sentence: string): Failure {
  return new Failure('usage', sentence, { hint: `Usage: ${command.name} ${command.usage}`.trim() })
}

/** `Did you mean "shop"?`, or nothing when no name is near. */
export function didYouMean(name: string, names: string[]): string | undefined {
  const near = names
    .map((one) => ({ one, distance: editDistance(name.slice(0, 80), one) }))
    .sort((a, b) => a.distance - b.distance)[0]
  return near && near.distance <= Math.max(2, name.length / 3)
    ? `Did you mean "${near.one}"?`
    : undefined
}

/** Levenshtein distance, with a swap of neighbours (`shpo`) counting as one. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, index) => index)]
  const at = (row: number, column: number) => rows[row]?.[column] ?? Infinity
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (same ? 0 : 1))
      rows[i]?.push(swapped ? Math.min(best, at(i - 2, j - 2) + 1) : best)
    }
  }
  return at(a.length, b.length)
}

function text(value: Options[string]): string | undefined {
  return typeof value === 'string' ? value : undefined
}
