import { parseBranch, paths } from '../../core/names.ts'
import { refuseLocked } from '../locks.ts'
import { setHead } from '../refs.ts'
import type { Command } from './command.ts'
import { importCommands } from './git-import.ts'
import { usageFailure } from './parse.ts'

export const gitCommands: Command[] = [
  ...importCommands,
  {
    name: 'git:set',
    usage: 'APP deploy-branch BRANCH',
    summary: 'Choose the branch whose pushes are deployed',
    app: true,
    run: async (call, daemon) => {
      const [setting, branch] = call.args
      if (setting !== 'deploy-branch' || branch === undefined) {
        throw usageFailure(call.command, 'git:set needs "deploy-branch" and a branch')
      }
      refuseLocked(daemon.store, call.app().name)
      daemon.store.setDeployBranch(call.app(), parseBranch(branch))
      await setHead(paths(daemon.config).repo(call.app().name), branch)
      return {
        lines: [`       Pushes of "${branch}" to ${call.app().name} are deployed`],
        json: { app: call.app().name, deployBranch: branch },
        event: { kind: 'git', text: `Set the deploy branch to ${branch}` },
      }
    },
  },
]
