import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Answer, Command } from './command.ts'
import { columns } from './output.ts'

/** All help is made from the command table; nothing is written twice. */

export const help: Command = {
  name: 'help',
  usage: '[COMMAND | NAMESPACE]',
  summary: 'Show all commands, or how to use one',
  app: false,
  run: async ({ args: [topic], table }) => {
    return topic === undefined ? overview(table) : helpOn(topic, table)
  },
}

/** A command, a namespace, or what is both. */
export function helpOn(topic: string, table: Command[]): Answer {
  const command = table.find((one) => one.name === topic)
  const family = table.filter((one) => one.name.startsWith(`${topic}:`))
  if (command) return helpFor(command, family)
  if (family.length > 0) return overview(family)
  throw new Failure('usage', `"${printable(topic)}" is not a command`, {
    hint: 'All commands: help',
  })
}

/** One command: usage, summary, options; and the commands of a `family` that it gives its name. */
function helpFor(command: Command, family: Command[]): Answer {
  const options = Object.entries(command.options ?? {}).map(([name, option]) => {
    const short = option.short ? `-${option.short}, ` : ''
    const value = option.value ? ` ${option.value}` : ''
    return { flag: `${short}--${name}${value}`, help: option.help }
  })
  const { name, usage, summary } = command
  const lines = [`Usage: ${name} ${usage}`.trim(), '', `  ${summary}`]
  if (options.length > 0)
    lines.push('', ...columns(options.map(({ flag, help: text }) => [flag, text])))
  lines.push('', `  With every command: ${flags}`)
  if (family.length > 0) lines.push('', ...list(family))
  const commands = family.length === 0 ? {} : { commands: family.map(facts) }
  return { lines, json: { ...facts(command), options, ...commands } }
}

const flags = '[--app APP] [--json] [--quiet] [--force]'

function overview(commands: Command[]): Answer {
  const lines = [`Usage: COMMAND [ARGUMENTS] ${flags}`, '', ...list(commands)]
  return { lines, json: commands.map(facts) }
}

function list(commands: Command[]): string[] {
  const rows = commands.map(({ name, usage, summary }) => [`${name} ${usage}`.trim(), summary])
  return columns(rows, 48)
}

function facts({ name, usage, summary }: Command) {
  return { name, usage, summary }
}
