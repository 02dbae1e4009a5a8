import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { broughtBy } from '../fleet/deaths.ts'
import type { Death } from '../store/nouns.ts'
import type { Command } from './command.ts'

export const whyCommands: Command[] = [
  {
    name: 'ps:why',
    usage: 'APP [PROCESS]',
    summary: 'Say why a process died last: cause, when, how often, which release, its last words',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const [process] = call.args
      const deaths = daemon.store.deaths(app)
      const death = deaths.find((one) => isOf(one, process))
      if (!death) return { lines: [nothing(app, process)], json: null }
      const facts = explain(daemon, app, death, deaths)
      return { lines: tellAll(app, death, facts), json: { ...death, ...facts } }
    },
  },
]

type Facts = ReturnType<typeof explain>

function isOf(death: Death, process: string | undefined): boolean {
  if (process === undefined) return true
  return death.process === process || death.process.startsWith(`${process}.`)
}

function nothing(app: App, process: string | undefined): string {
  if (process !== undefined && !/^[a-z][a-z0-9-]*(\.\d+)?$/.test(process)) {
    throw new Failure('usage', `"${printable(process)}" is not a process, such as web.1`)
  }
  return `       No process${process ? ` ${process}` : ''} of ${app.name} has died`
}

function explain(daemon: Daemon, app: App, death: Death, deaths: Death[]) {
  const releases = daemon.store.releases(app)
  const served = releases.filter(({ status }) => status === 'live').map(({ version }) => version)
  const version = broughtBy(death, deaths, served)
  const release = releases.find((one) => one.version === version)
  const running = daemon.fleet
    .of(app.name)
    .find(({ process, state }) => process === death.process && state === 'live')
  const trouble = daemon.reconcile.troubleOf(app.name, death.process)
  return {
    broughtBy: {
      release: `v${version}`,
      cause: release?.cause ?? null,
      by: release?.by ?? null,
      createdAt: release?.createdAt ?? null,
      status: release?.status ?? null,
    },
    now: running ? 'running' : (trouble ?? 'not running'),
  }
}

function tellAll(app: App, death: Death, facts: Facts): string[] {
  const { release, cause, by, createdAt } = facts.broughtBy
  const why = cause ? `${release}: ${cause}, by ${by}, ${createdAt}` : release
  const times = death.times === 1 ? 'once' : `${death.times} times`
  return [
    `=====> ${death.process} of ${app.name} ${death.text}`,
    `       When:       ${death.at}`,
    `       How often:  ${times} in v${death.release}`,
    `       Brought by: ${why}`,
    `       Now:        ${facts.now}`,
    ...lastWords(app, death),
  ]
}

function lastWords(app: App, { lines, release, process }: Death): string[] {
  const more = `more with: logs ${app.name} -p ${process} --release v${release}`
  if (lines.length === 0) return [`       It logged nothing; ${more}`]
  return [
    `       Its last ${lines.length === 1 ? 'line' : `${lines.length} lines`}; ${more}`,
    ...lines.map((line) => `         ${line}`),
  ]
}
