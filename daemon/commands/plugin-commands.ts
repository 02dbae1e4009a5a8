import { byText } from '../../core/names.ts'
import type { Plugin, PluginCommand } from '../../plugins/load.ts'
import type { Daemon } from '../daemon.ts'
import type { Command } from './command.ts'
import { print } from './output.ts'

/** The table with the commands that plugins bring; none of theirs replaces one of ours. */
export function withPluginCommands(table: Command[], daemon: Daemon): Command[] {
  const more = daemon.triggers.commands().map(toCommand)
  if (more.length === 0) return table
  const ours = new Set(table.map(({ name }) => name))
  const all = [...table, ...more.filter(({ name }) => !ours.has(name))]
  return all.sort((a, b) => byText(a.name, b.name))
}

function toCommand({ plugin, command }: { plugin: Plugin; command: PluginCommand }): Command {
  return {
    name: `${plugin.name}:${command.name}`,
    usage: command.usage,
    summary: command.summary || `From the plugin ${plugin.name}`,
    app: /^APP\b/.test(command.usage),
    verbatim: true,
    run: ({ args, named, session }, daemon) => {
      const { identity, signal, stdout } = session
      const facts = { user: identity.name, args: [command.name, ...args] }
      const about = named ? { ...facts, app: named.name } : facts
      return daemon.triggers.call(plugin, about, (line) => void print(stdout, [line]), signal)
    },
  }
}
