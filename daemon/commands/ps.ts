import { Failure } from '../../core/errors.ts'
import { byText, isProcessType, printable } from '../../core/names.ts'
import type { App, Release } from '../../core/types.ts'
import { applyChange, applyOrSet, current, refuseUnknownTypes } from '../changes.ts'
import { restartChange, scaleChange, takeTurn } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { type CountWish, startChange, stopChange, wishedFormation } from '../process-changes.ts'
import { rebuild } from '../code/rebuild.ts'
import { runRows } from '../runs/run-rows.ts'
import { differences } from '../fleet/differences.ts'
import { processType, stoppedTypes, wantedProcesses } from '../fleet/processes.ts'
import type { Answer, Call, Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

export const processCommands: Command[] = [
  {
    name: 'ps',
    usage: 'APP',
    summary: 'List the processes of an app',
    app: true,
    run: async (call, daemon) => {
      const all = [...listProcesses(call, daemon), ...runRows(daemon, call.app())]
      const rows = all.map(({ process, state, release, seconds }) => [
        process,
        state,
        release,
        `${seconds} s`,
      ])
      return { lines: columns([['PROCESS', 'STATE', 'RELEASE', 'UP'], ...rows]), json: all }
    },
  },
  {
    name: 'ps:report',
    usage: 'APP',
    summary: 'Show the process types of an app: how many are wanted and run, and their commands',
    app: true,
    run: async (call, daemon) => reportTypes(call.app(), daemon),
  },
  {
    name: 'ps:scale',
    usage: 'APP [TYPE=COUNT | TYPE+COUNT | TYPE-COUNT ...]',
    summary: 'Show or change how many of each process type run',
    app: true,
    run: async (call, daemon) => {
      const wishes = call.args.map((arg) => parseWish(call, arg))
      if (wishes.length > 0) await scale(call, daemon, wishes)
      return showFormation(call, daemon)
    },
  },
  {
    name: 'ps:rebuild',
    usage: 'APP',
    summary: 'Build the commit that runs again, and deploy that',
    app: true,
    options: { 'no-cache': { type: 'boolean', help: 'Run every command of the build anew' } },
    run: async (call, daemon) => {
      const about = { by: call.session.identity, noCache: call.options['no-cache'] === true }
      await rebuild(daemon, call.app(), about, call.ask)
      const version = current(daemon, call.app()).version
      return { lines: [], json: { app: call.app().name, version } }
    },
  },
  {
    name: 'ps:stop',
    usage: 'APP [TYPE ...]',
    summary: 'Stop an app, or some process types, until ps:start',
    app: true,
    run: async (call, daemon) => {
      const by = call.session.identity.name
      await applyChange(daemon, stopChange(daemon, call.app(), call.args, by), call.ask)
      return showFormation(call, daemon)
    },
  },
  {
    name: 'ps:start',
    usage: 'APP [TYPE ...]',
    summary: 'Start what ps:stop stopped, as many as there were',
    app: true,
    run: async (call, daemon) => {
      const by = call.session.identity.name
      await applyChange(daemon, startChange(daemon, call.app(), call.args, by), call.ask)
      return showFormation(call, daemon)
    },
  },
  {
    name: 'ps:restart',
    usage: 'APP [TYPE ...]',
    summary: 'Start every process, or some types, afresh, then stop the old ones',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const by = call.session.identity.name
      const change = restartChange(daemon, app, call.args, by)
      const release = await applyChange(daemon, change, call.ask)
      return {
        lines: [`-----> Restarted ${app.name} v${release.version}`],
        json: { app: app.name, release: `v${release.version}` },
      }
    },
  },
  {
    name: 'ps:pause',
    usage: 'APP [TYPE ...]',
    summary: 'Freeze processes where they are; requests wait. Ends with ps:resume or a reboot',
    app: true,
    run: (call, daemon) => freeze(call, daemon, 'pause'),
  },
  {
    name: 'ps:resume',
    usage: 'APP [TYPE ...]',
    summary: 'Let paused processes go on',
    app: true,
    run: (call, daemon) => freeze(call, daemon, 'resume'),
  },
]

async function scale(call: Call, daemon: Daemon, wishes: CountWish[]): Promise<void> {
  const app = call.app()
  const by = call.session.identity.name
  const cause = `Scale ${call.args.join(' ')}`
  const decide = (release: Release) => {
    const wish = wishedFormation(release.formation, wishes)
    refuseUnknownTypes(wish, release)
    return wish
  }
  const now = daemon.store.currentRelease(app.name)
  if (now) decide(now) // a mistake is told at once, and is no change that failed
  const change = { ...scaleChange(daemon, app, decide, by), cause }
  await applyOrSet(daemon, change, call.ask, () => {
    const formation = daemon.store.formation(app)
    daemon.store.setFormation(app, { ...formation, ...wishedFormation(formation, wishes) })
    const text = `${cause}, for the first release`
    daemon.store.addEvent(app, { kind: 'scale', by, release: null, text })
  })
  if (!daemon.store.currentRelease(app.name)) return
  forgetStopped(daemon, app, wishes)
  await daemon.triggers.fire('post-scale', { app: app.name, args: call.args }, call.say)
}

function reportTypes(app: App, { store, fleet }: Daemon): Answer {
  const formation = store.formation(app)
  const stopped = stoppedTypes(app, formation)
  const live = fleet.of(app.name).filter(({ state }) => state === 'live')
  const all = Object.entries(store.currentRelease(app.name)?.image.processes ?? {})
  const facts = all
    .filter(([type]) => type !== 'release')
    .map(([type, command]) => ({
      type,
      wanted: formation[type] ?? 0,
      running: live.filter(({ process }) => processType(process) === type).length,
      stopped: stopped[type] ?? 0,
      command,
    }))
  const rows = facts.map(({ type, command, ...counts }) => {
    return [type, ...Object.values(counts).map(String), command]
  })
  return {
    lines: columns([['TYPE', 'WANTED', 'RUNNING', 'STOPPED', 'COMMAND'], ...rows]),
    json: facts,
  }
}

function listProcesses(call: Call, daemon: Daemon) {
  const app = call.app()
  const release = daemon.store.currentRelease(app.name)
  const members = daemon.fleet.of(app.name)
  const running = members.map((member) => ({
    process: member.process,
    state:
      member.state !== 'live' ? member.state : daemon.fleet.isPaused(member) ? 'paused' : 'running',
    release: `v${member.release}`,
    seconds: Math.round((Date.now() - member.startedAt) / 1000),
    address: member.address,
  }))
  const absent = (process: string, state: string) => {
    return { process, state, release: `v${release?.version}`, seconds: 0, address: null }
  }
  const down = differences(members, release).missing.map((process) =>
    absent(process, daemon.reconcile.troubleOf(app.name, process) ?? 'down'),
  )
  const formation = release ? stoppedTypes(app, release.formation) : {}
  const stopped = release ? wantedProcesses({ ...release, formation }) : []
  const all = [...running, ...down, ...stopped.map((process) => absent(process, 'stopped'))]
  return all.sort((a, b) => byText(a.process, b.process))
}

async function freeze(call: Call, daemon: Daemon, verb: 'pause' | 'resume'): Promise<Answer> {
  const app = call.app()
  using turn = await takeTurn(daemon, app, call.ask)
  void turn
  const types = Object.fromEntries(call.args.map((type) => [type, 1]))
  refuseUnknownTypes(types, current(daemon, app))
  const members = daemon.fleet
    .of(app.name)
    .filter(
      ({ state, process }) =>
        state === 'live' && (call.args.length === 0 || processType(process) in types),
    )
  if (members.length === 0) throw new Failure('failed', `Nothing of that runs in ${app.name}`)
  const others = members.filter((one) => daemon.fleet.isPaused(one) !== (verb === 'pause'))
  const names = others.map(({ process }) => process).sort()
  const done = verb === 'pause' ? 'paused' : 'resumed'
  if (others.length === 0) {
    const text = `       There is nothing to be ${done}`
    return { lines: [text], json: { [verb]: [] } }
  }
  for (const member of others) await daemon.fleet[verb](member)
  const text = `${verb === 'pause' ? 'Paused' : 'Resumed'} ${names.join(', ')}`
  return { lines: [`-----> ${text}`], json: { [verb]: names }, event: { kind: verb, text } }
}

function showFormation(call: Call, daemon: Daemon): Answer {
  const formation = daemon.store.formation(call.app())
  const stopped = stoppedTypes(daemon.store.findApp(call.app().name) ?? call.app(), formation)
  const lines = Object.entries(formation).map(([type, count]) => {
    return `       ${type}=${count}${type in stopped ? ` (stopped, was ${stopped[type]})` : ''}`
  })
  return { lines, json: formation }
}

/** Whoever says how many there are to be, be it none, does not want ps:start to know better. */
function forgetStopped({ store }: Daemon, app: App, wishes: CountWish[]): void {
  const stopped = { ...store.findApp(app.name)?.stopped }
  for (const { type } of wishes) delete stopped[type]
  store.setStopped(app, stopped)
}

function parseWish(call: Call, arg: string): CountWish {
  const [, type, sign = '=', count] = /^([a-z][a-z0-9-]*?)([=+-])(\d{1,9})$/.exec(arg) ?? []
  if (type === undefined || !isProcessType(type)) {
    throw usageFailure(call.command, `"${printable(arg)}" is not TYPE=COUNT`)
  }
  return { type, sign: sign === '+' || sign === '-' ? sign : '', count: Number(count) }
}
