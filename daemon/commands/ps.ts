import { Failure } from '../../core/errors.ts'
import { isProcessType, printable } from '../../core/names.ts'
import { limits } from '../../core/config.ts'
import type { Formation } from '../../core/types.ts'
import {
  applyChange,
  applySetting,
  refuseUnknownTypes,
  restartChange,
  scaleChange,
} from '../changes.ts'
import { wantedProcesses } from '../processes.ts'
import { runRows } from '../run-rows.ts'
import type { Call, Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

const instancesMost = 64

export const processCommands: Command[] = [
  {
    name: 'ps',
    usage: 'APP',
    summary: 'List the processes of an app',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const release = daemon.store.currentRelease(app.name)
      const formation = daemon.store.formation(app)
      const members = daemon.fleet.of(app.name)
      const running = members.map((member) => ({
        process: member.process,
        state: member.state === 'live' ? 'running' : member.state,
        release: `v${member.release}`,
        seconds: Math.round((Date.now() - member.startedAt) / 1000),
        address: member.address,
      }))
      const here = new Set(
        members
          .filter((member) => member.state === 'live' && member.release === release?.version)
          .map(({ process }) => process),
      )
      const down = (release ? wantedProcesses({ ...release, formation }) : [])
        .filter((process) => !here.has(process))
        .map((process) => ({
          process,
          state: daemon.reconcile.troubleOf(app.name, process) ?? 'down',
          release: `v${release?.version}`,
          seconds: 0,
          address: null,
        }))
      const all = [...running, ...down, ...runRows(daemon, app)].sort((a, b) =>
        a.process.localeCompare(b.process),
      )
      const rows = all.map(({ process, state, release: version, seconds }) => [
        process,
        state,
        version,
        `${seconds} s`,
      ])
      return { lines: columns([['PROCESS', 'STATE', 'RELEASE', 'UP'], ...rows]), json: all }
    },
  },
  {
    name: 'ps:scale',
    usage: 'APP [TYPE=COUNT ...]',
    summary: 'Show or change how many of each process type run',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const wish = parseFormation(call)
      const release = daemon.store.currentRelease(app.name)
      if (release) refuseUnknownTypes(wish, release)
      if (Object.keys(wish).length > 0 && !release) {
        await applySetting(daemon, app, call.ask, () => {
          daemon.store.setFormation(app, { ...daemon.store.formation(app), ...wish })
        })
      } else if (Object.keys(wish).length > 0) {
        await applyChange(
          daemon,
          scaleChange(daemon, app, wish, call.session.identity.name),
          call.ask,
        )
        await daemon.triggers.fire('post-scale', { app: app.name, args: call.args }, call.say)
      }
      const formation = daemon.store.formation(app)
      return {
        lines: Object.entries(formation).map(([type, count]) => `       ${type}=${count}`),
        json: formation,
      }
    },
  },
  {
    name: 'ps:restart',
    usage: 'APP',
    summary: 'Start every process afresh, then stop the old ones',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const release = await applyChange(
        daemon,
        restartChange(daemon, app, call.session.identity.name),
        call.ask,
      )
      return {
        lines: [`-----> Restarted ${app.name} v${release.version}`],
        json: { app: app.name, release: `v${release.version}` },
      }
    },
  },
]

function parseFormation(call: Call): Formation {
  const pairs = call.args.map((arg) => {
    const [, type, count] = /^([^=]+)=(\d{1,4})$/.exec(arg) ?? []
    if (type === undefined || !isProcessType(type)) {
      throw usageFailure(call.command, `"${printable(arg)}" is not TYPE=COUNT`)
    }
    const most = type === 'web' ? limits.routeUpstreams : instancesMost
    if (Number(count) > most) throw new Failure('usage', `${type} can have at most ${most}`)
    return [type, Number(count)] as const
  })
  return Object.fromEntries(pairs)
}
