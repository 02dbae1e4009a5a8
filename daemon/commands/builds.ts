import { Failure } from '../../core/errors.ts'
import { planCommit } from '../build.ts'
import type { Command } from './command.ts'
import { columns } from './output.ts'

export const buildCommands: Command[] = [
  {
    name: 'builds',
    usage: 'APP',
    summary: 'List the last builds, newest first',
    app: true,
    run: async (call, daemon) => {
      const builds = daemon.store.builds(call.app()).map(({ id: _id, ...build }) => build)
      const rows = builds.map(({ number, status, commit, by, createdAt, error }) => [
        `#${number}`,
        status,
        commit.slice(0, 7),
        by,
        createdAt,
        error ?? '',
      ])
      return {
        lines: columns([['BUILD', 'STATUS', 'COMMIT', 'BY', 'AT', 'ERROR'], ...rows]),
        json: builds,
      }
    },
  },
  {
    name: 'builds:plan',
    usage: 'APP',
    summary: 'Print, as JSON, how the last pushed commit would be built, without building it',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      if (!app.deployBranch) {
        throw new Failure('failed', `${app.name} has no code yet`, {
          hint: 'Push code first: git push paas main',
        })
      }
      const plan = await planCommit(daemon, app, app.deployBranch, call.say, call.session.signal)
      return { lines: JSON.stringify(plan, null, 2).split('\n'), json: plan }
    },
  },
]
