import { Failure } from '../../core/errors.ts'
import { parseConfigKey } from '../../core/names.ts'
import { runOneOff } from '../one-off.ts'
import type { Command } from './command.ts'
import { usageFailure } from './parse.ts'

export const runCommands: Command[] = [
  {
    name: 'run',
    usage: '[--env KEY=VALUE] APP COMMAND [ARGUMENT ...]',
    summary: 'Run a command in a new container of the app, with its code and config',
    app: true,
    verbatim: true,
    options: { env: { type: 'string', value: 'KEY=VALUE', help: 'One more variable' } },
    run: async (call, daemon) => {
      const app = call.app()
      if (call.args.length === 0) throw usageFailure(call.command, 'run needs a command')
      const release = daemon.store.currentRelease(app.name)
      if (!release) {
        throw new Failure('failed', `${app.name} has no release yet`, {
          hint: 'Push code first: git push paas main',
        })
      }
      const { env } = call.options
      const exit = await runOneOff(daemon, release, {
        argv: call.args,
        env: env === undefined ? {} : parsePair(String(env)),
        session: call.session,
      })
      return exit.code
    },
  },
]

function parsePair(pair: string): Record<string, string> {
  const at = pair.indexOf('=')
  if (at === -1) throw new Failure('usage', '--env wants KEY=VALUE')
  return { [parseConfigKey(pair.slice(0, at))]: pair.slice(at + 1) }
}
