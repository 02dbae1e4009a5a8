import { archiveTypes } from '../../builder/import/archive.ts'
import { printable } from '../../core/names.ts'
import { publicDeployKey } from '../code/deploy-key.ts'
import { importArchive, type Imported, importRemote } from '../code/import.ts'
import type { Answer, Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'
import { refuseTerminal } from './stdin.ts'

/** Code that comes by other ways than a push. */
export const importCommands: Command[] = [
  {
    name: 'git:from-archive',
    usage: 'APP [URL]',
    summary: 'Commit and deploy the files of an archive, given by address or on standard input',
    app: true,
    options: {
      type: { type: 'string', value: 'TYPE', help: `What it is: ${archiveTypes.join(', ')}` },
    },
    run: async (call, daemon) => {
      const [address] = call.args
      const isInput = address === undefined || address === '-'
      if (isInput) refuseTerminal(call, 'an archive', `${call.app().name} < shop.tar.gz`)
      const from = isInput ? call.session.stdin : address
      const source = { from, type: archiveType(call) }
      return answer(call, await importArchive(daemon, call.app(), source, askOf(call)))
    },
  },
  {
    name: 'git:sync',
    usage: 'APP REPOSITORY [REF]',
    summary: 'Fetch a repository over https or ssh, and deploy its default branch or REF',
    app: true,
    run: async (call, daemon) => {
      const [address, ref] = call.args
      if (address === undefined) throw usageFailure(call.command, 'git:sync needs a repository')
      return answer(call, await importRemote(daemon, call.app(), { address, ref }, askOf(call)))
    },
  },
  {
    name: 'git:public-key',
    usage: '',
    summary: 'Print the key by which paas fetches over ssh, for the git host to know',
    app: false,
    run: async (_call, daemon) => {
      const key = await publicDeployKey(daemon.config)
      return { lines: [key], json: { key } }
    },
  },
]

function askOf(call: Call) {
  return { ...call.ask, by: call.session.identity }
}

/** The deploy has said it all already. */
function answer(call: Call, { commit, branch, deployed }: Imported): Answer {
  return { lines: [], json: { app: call.app().name, commit, branch, deployed } }
}

function archiveType(call: Call) {
  const { type } = call.options
  if (type === undefined) return undefined
  const found = archiveTypes.find((one) => one === type)
  if (found) return found
  const sentence = `--type "${printable(String(type))}" is not known`
  throw usageFailure(call.command, `${sentence}: expected ${archiveTypes.join(', ')}`)
}
