import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Daemon } from '../daemon.ts'
import type { Answer, Call, Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

export const pluginCommands: Command[] = [
  {
    name: 'plugin:list',
    usage: '',
    summary: 'List the plugins there are, and the triggers they listen to',
    app: false,
    run: async (_call, daemon) => {
      const plugins = daemon.triggers.list()
      const rows = plugins.map(({ name, version, state, triggers, description }) => [
        name,
        version,
        state,
        triggers.join(' '),
        description,
      ])
      return { lines: columns(rows), json: plugins }
    },
  },
  {
    name: 'plugin:enable',
    usage: 'PLUGIN',
    summary: 'Switch a plugin on',
    app: false,
    run: async (call, daemon) => flip(call, daemon, true),
  },
  {
    name: 'plugin:disable',
    usage: 'PLUGIN',
    summary: 'Switch a plugin off',
    app: false,
    run: async (call, daemon) => flip(call, daemon, false),
  },
]

async function flip(call: Call, daemon: Daemon, enabled: boolean): Promise<Answer> {
  const [name] = call.args
  if (name === undefined) throw usageFailure(call.command, `${call.command.name} needs a plugin`)
  const plugin = daemon.triggers.list().find((one) => one.name === name)
  if (!plugin) {
    throw new Failure('failed', `There is no plugin "${printable(name)}"`, {
      hint: 'All plugins: plugin:list',
    })
  }
  if (enabled && plugin.problem) throw new Failure('failed', `${name}: ${plugin.problem}`)
  daemon.store.switchPlugin(name, enabled)
  daemon.triggers.list()
  const done = `${enabled ? 'Enabled' : 'Disabled'} ${name}`
  return {
    lines: [`-----> ${done}`],
    json: { name, enabled },
    event: { kind: 'plugins', text: done },
  }
}
