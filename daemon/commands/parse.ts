import { parseArgs } from 'node:util'
import { didYouMean } from '../../core/did-you-mean.ts'
import { Failure } from '../../core/errors.ts'
import { maskValue } from '../../core/mask.ts'
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
  const before = argv.slice(0, start)
  const after = argv.slice(start + 1)
  const alone = after.length === 0 && !before.some(namesApp)
  if (!command || (alone && command.app && isNamespace(name, table))) {
    return namespaceHelp(name, [before, after], table)
  }
  if (command.verbatim) return parseVerbatim(command, before, after)
  const { values, positionals } = parse(command, [...before, ...after])
  const ofApp = command.app && values.global !== true
  if (command.app && !ofApp && values.app !== undefined) {
    throw usageFailure(command, 'No app goes with --global')
  }
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

/**
 * `run [--env K=V] APP [--env K=V] command…`: options of our own stand before and after the app,
 * and end where the command begins. A command of a plugin has none: all after the app is its own.
 */
function parseVerbatim(command: Command, before: string[], after: string[]): Parsed {
  const [first, rest] = leadingOptions(command, after)
  const named = command.app && ![...before, ...first].some(namesApp)
  const app = named ? rest.shift() : undefined
  const [second, words] = named && command.options ? leadingOptions(command, rest) : [[], rest]
  const { values } = parse(command, [...before, ...first, ...second])
  if (named && second.some(namesApp)) throw usageFailure(command, 'Two apps are named')
  if (words[0] === '--') words.shift()
  return parsed(command, values, app ?? text(values.app), words)
}

function namesApp(arg: string): boolean {
  return /^--app(=|$)/.test(arg)
}

/** The options that `args` begin with, and what comes behind them. */
function leadingOptions({ options }: Command, args: string[]): [string[], string[]] {
  const takesValue = (arg: string) =>
    arg === '--app' || options?.[arg.replace(/^--/, '')]?.type === 'string'
  let end = 0
  while (args[end]?.startsWith('-') && args[end] !== '--') {
    end += takesValue(args[end] ?? '') ? 2 : 1
  }
  return [args.slice(0, end), args.slice(end)]
}

function parsed(
  command: Command,
  values: Options,
  app: string | undefined,
  args: string[],
): Parsed {
  const { json, quiet, force, help, app: _app, ...options } = values
  const most = mostArguments(command)
  if (args.length > most && help !== true) throw tooMany(command, most, args.length)
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
  const plain = usage.replaceAll(/\[--[^\]]*\]|--\S+ [A-Z]+/g, '').replaceAll(/ \| /g, '|')
  return plain.split(' ').filter(Boolean).length - (app ? 1 : 0)
}

/** Counts them: what was typed too much may be a password. */
function tooMany(command: Command, most: number, given: number): Failure {
  const [may, were] = [most, given].map((count) => count + (command.app ? 1 : 0))
  const what = may === 0 ? 'no argument' : `at most ${may} argument${may === 1 ? '' : 's'}`
  const but = `${were} ${were === 1 ? 'was' : 'were'} given`
  return usageFailure(command, `${command.name} takes ${what}: ${but}`)
}

function parse(command: Command, args: string[]) {
  const own = Object.fromEntries(
    Object.entries(command.options ?? {}).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short && { short }), ...(multiple && { multiple }) },
    ]),
  )
  try {
    const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = {
      ...globalOptions,
      ...own,
    }
    const { values, positionals, tokens } = parseArgs({
      args,
      options,
      allowPositionals: true,
      strict: true,
      tokens: true,
    })
    const given = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []))
    for (const name of new Set(given)) {
      const { type, multiple } = options[name] ?? {}
      if (type !== 'string' || multiple || given.indexOf(name) === given.lastIndexOf(name)) continue
      throw new Error(`Option --${name} is given twice`) // the first would be lost without a word
    }
    const plain: Options = {}
    for (const [key, value] of Object.entries(values)) {
      plain[key] = Array.isArray(value) ? value.map(String) : value
    }
    return { values: plain, positionals }
  } catch (error) {
    const sentence = error instanceof Error ? (error.message.split(/\.\s/)[0] ?? '') : String(error)
    const { message, hint } = usageFailure(command, printable(sentence))
    throw new Failure('usage', message, { hint: `${hint}\nOptions: help ${command.name}` })
  }
}

/** A bare namespace (`config`, `ps`) prints its help; anything else unknown is an error. */
function namespaceHelp(name: string, [before, after]: [string[], string[]], table: Command[]) {
  const help = table.find((one) => one.name === 'help')
  const topic = name.replace(/:help$/, '')
  const names = table.map((one) => one.name)
  const word = after.find((arg) => !arg.startsWith('-'))
  if (!help || !isNamespace(topic, table)) throw noCommand(name, didYouMean(name, names))
  if (word !== undefined) throw noCommand(name, didYouMean(`${topic}:${word}`, names))
  const { values } = parse(help, [...before, ...after])
  return parsed(help, { ...values, help: false }, undefined, [topic])
}

function isNamespace(name: string, table: Command[]): boolean {
  return table.some((one) => one.name.startsWith(`${name}:`))
}

function noCommand(name: string, near: string | undefined): Failure {
  return new Failure('usage', `"${printable(maskValue(name))}" is not a command`, {
    hint: [near, 'All commands: help'].filter(Boolean).join(' '),
  })
}

/** What was wrong with a call, and how the command is called rightly. */
export function usageFailure(command: Command, sentence: string): Failure {
  return new Failure('usage', sentence, { hint: `Usage: ${command.name} ${command.usage}`.trim() })
}

function text(value: Options[string]): string | undefined {
  return typeof value === 'string' ? value : undefined
}
