import { buildpacksMost, parseBuildpack } from '../../builder/buildpack-detect/buildpack-address.ts'
import { Failure } from '../../core/errors.ts'
import { maskAddresses } from '../../core/mask.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { chosenBuilder } from './builder.ts'
import type { Answer, Call, Command, CommandOption } from './command.ts'
import { usageFailure } from './parse.ts'

const index: Record<string, CommandOption> = {
  index: { type: 'string', value: 'N', help: 'Which one: 1 is run first' },
}

export const buildpackCommands: Command[] = [
  {
    name: 'buildpacks:set',
    usage: 'APP ADDRESS [ADDRESS ...]',
    summary: 'Build an app with Heroku buildpacks, in this order, from the next push on',
    app: true,
    changes: true,
    options: index,
    run: async (call, daemon) => {
      const at = position(call)
      const given = addresses(call)
      return change(call, daemon, (list) =>
        at === undefined ? given : list.toSpliced(at, 1, ...given),
      )
    },
  },
  {
    name: 'buildpacks:add',
    usage: 'APP ADDRESS [ADDRESS ...]',
    summary: 'Run further buildpacks, after the others or at a place among them',
    app: true,
    changes: true,
    options: index,
    run: async (call, daemon) => {
      const at = position(call)
      const given = addresses(call)
      return change(call, daemon, (list) => list.toSpliced(at ?? list.length, 0, ...given))
    },
  },
  {
    name: 'buildpacks:remove',
    usage: 'APP [ADDRESS]',
    summary: 'Run a buildpack no longer, named by its address or by --index',
    app: true,
    changes: true,
    options: index,
    run: async (call, daemon) => {
      const [address] = call.args
      const at = position(call)
      if ((address === undefined) === (at === undefined)) {
        throw usageFailure(call.command, 'buildpacks:remove needs an address or --index')
      }
      return change(call, daemon, (list) => {
        const found = at ?? list.findIndex((one) => one === address)
        if (found in list) return list.toSpliced(found, 1)
        throw new Failure('failed', `${call.app().name} has no such buildpack`, {
          hint: 'Those it has: buildpacks:list',
        })
      })
    },
  },
  {
    name: 'buildpacks:clear',
    usage: 'APP',
    summary: 'Let the code say how an app is built',
    app: true,
    changes: true,
    run: async (call, daemon) => change(call, daemon, () => []),
  },
  {
    name: 'buildpacks:list',
    usage: 'APP',
    summary: 'List the buildpacks of an app, in the order in which they run',
    app: true,
    run: async (call, daemon) => report(daemon, call.app()),
  },
]

function change(call: Call, daemon: Daemon, edit: (list: string[]) => string[]): Answer {
  const app = call.app()
  const list = edit(daemon.store.buildpacks(app))
  if (list.length > buildpacksMost) {
    throw new Failure('usage', `${list.length} buildpacks: at most ${buildpacksMost} are run`)
  }
  daemon.store.setBuildpacks(app, list)
  const shown = list.map(maskAddresses).join(', ') || 'none'
  return { ...report(daemon, app), event: { kind: 'builder', text: `Buildpacks: ${shown}` } }
}

function addresses({ args, command }: Call): string[] {
  if (args.length === 0) throw usageFailure(command, `${command.name} needs an address`)
  for (const address of args) parseBuildpack(address)
  return args
}

/** Undefined without the option; else counted from 0. */
function position({ options, command }: Call): number | undefined {
  if (options.index === undefined) return undefined
  const number = Number(options.index)
  if (Number.isInteger(number) && number >= 1 && number <= buildpacksMost) return number - 1
  throw usageFailure(command, `--index is a number from 1 to ${buildpacksMost}`)
}

function report(daemon: Daemon, app: App): Answer {
  const shown = daemon.store.buildpacks(app).map(maskAddresses)
  const { builder, by } = chosenBuilder(daemon, app)
  const ignored = shown.length > 0 && builder !== 'buildpacks'
  const lines = shown.map((address, at) => `${at + 1}. ${address}`)
  return {
    lines: [
      ...(lines.length > 0 ? lines : ['No buildpacks are set: the code says how it is built']),
      ...(ignored ? [`They are not used: ${by} says "${builder}"`] : []),
    ],
    json: shown,
  }
}
