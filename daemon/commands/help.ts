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
    if (topic === undefined) return overview(table)
    const command = table.find((one) => one.name === topic)
    if (command) return helpFor(command)
    const family = table.filter((one) => one.name.split(':')[0] === topic)
    if (family.length > 0) return overview(family)
    throw new Failure('usage', `"${printable(topic)}" is not a command`, {
      hint: 'All commands: help',
    })
  },
}

/** One command: usage, summary, options. */
export function helpFor(command: Command): Answer {
  const options = Object.entries(command.options ?? {}).map(([name, option]) => {
    const short = option.short ? `-${option.short}, ` : ''
    const value = option.value ? ` ${option.value}` : ''
    return { flag: `${short}--${name}${value}`, help: option.help }
  })
  const lines = [`Usage: ${command.name} ${command.usage}`.trim(), '', `  ${command.summary}`]
  if (options.length > 0)
    lines.push('', ...columns(options.map(({ flag, help: text }) => [flag, text])))
  const { name, usage, summary } = command
  return { lines, json: { name, usage, summary, options } }
}

function overview(commands: Command[]): Answer {
  const rows = commands.map(({ name, usage, summary }) => [`${name} ${usage}`.trim(), summary])
  return {
    lines: [
      'Usage: COMMAND [ARGUMENTS] [--app APP] [--json] [--quiet] [--force]',
      '',
      ...columns(rows, 48),
    ],
    json: commands.map(({ name, usage, summary }) => ({ name, usage, summary })),
  }
}
