import { limits } from '../../core/config.ts'
import type { Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

export const eventCommands: Command[] = [
  {
    name: 'events',
    usage: 'APP | --global',
    summary: 'List what happened to an app, or to the host, and who did it',
    app: true,
    options: {
      global: { type: 'boolean', help: 'Of the host: keys, plugins, storages, apps; no APP then' },
      num: {
        type: 'string',
        short: 'n',
        value: 'N',
        help: 'How many, newest last; 50 unless given',
      },
    },
    run: async (call, daemon) => {
      const most = Number(call.options.num ?? 50)
      if (!Number.isInteger(most) || most < 1 || most > limits.eventsKept) {
        throw usageFailure(call.command, `-n wants a number from 1 to ${limits.eventsKept}`)
      }
      const events = daemon.store.events(call.named ?? null, most).toReversed()
      const rows = events.map(({ at, kind, by, release, text }) => [
        at,
        kind,
        by,
        release === null ? '' : `v${release}`,
        text,
      ])
      return { lines: columns([['AT', 'WHAT', 'BY', 'RELEASE', 'TEXT'], ...rows]), json: events }
    },
  },
]
