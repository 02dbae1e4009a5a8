import type { Outdated } from '../../builder/stack/debian.ts'
import type { Renewal } from '../../builder/stack/renewal.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { listStacks } from '../code/stack-list.ts'
import { type Move, moveApps, renew } from '../code/stack-update.ts'
import type { Answer, Call, Command } from './command.ts'
import { findApp } from '../apps/find-app.ts'
import { columns, print } from './output.ts'

const anyway = { force: 'with --force also when Debian has nothing newer' }

export const stackCommands: Command[] = [
  {
    name: 'stack:list',
    usage: '',
    summary: 'List the stacks that releases stand on, with what Debian has newer',
    app: false,
    run: async (_call, daemon) => {
      const stacks = await listStacks(daemon)
      const rows = stacks.map(({ key, madeAt, newest, packages, outdated, apps, releases }) => [
        newest ? `${key} (newest)` : key,
        madeAt.slice(0, 16).replace('T', ' '),
        `${outdated ?? '?'} of ${packages}`,
        String(releases),
        apps.join(', ') || '-',
      ])
      const head = ['STACK', 'MADE', 'OUTDATED', 'RELEASES', 'APPS']
      return { lines: columns([head, ...rows], 72), json: stacks }
    },
  },
  {
    name: 'stack:build',
    usage: '',
    summary: `Make a stack of today's Debian for the builds to come; ${anyway.force}`,
    app: false,
    run: async (call, daemon) => {
      const renewal = await renewed(call, daemon)
      return { lines: describe(renewal), json: facts(renewal) }
    },
  },
  {
    name: 'stack:update',
    usage: '[APP]',
    summary: `Move every app, or one, onto a stack of today's Debian, building nothing; ${anyway.force}`,
    app: false,
    run: async (call, daemon) => {
      const apps = chosen(call, daemon)
      const renewal = await renewed(call, daemon)
      const { stacks, caddy } = renewal
      const to = { stack: stacks.run, caddy, by: call.session.identity.name }
      const moves = await moveApps(daemon, apps, to, call.ask)
      return await report(call, renewal, moves)
    },
  },
]

function chosen({ args }: Call, daemon: Daemon): App[] {
  const [name] = args
  return name === undefined ? daemon.store.apps() : [findApp(name, daemon)]
}

function renewed(call: Call, daemon: Daemon): Promise<Renewal> {
  call.say('-----> Asking Debian for what is newer')
  const asked = { by: call.session.identity.name, always: call.force }
  return renew(daemon, asked, { say: call.say, signal: call.session.signal })
}

/**
 * An app that could not be moved makes the command fail, so that a cron job's owner hears of it.
 */
async function report(call: Call, renewal: Renewal, moves: Move[]): Promise<Answer | number> {
  const rows = moves.map(({ app, outcome, release, seconds, why }) => [
    app,
    outcome,
    release ?? '-',
    `${seconds} s`,
    why ?? '',
  ])
  const failed = moves.filter(({ outcome }) => outcome === 'not moved').length
  const moved = moves.filter(({ outcome }) => outcome === 'moved').length
  const sum = `=====> ${moved} of ${moves.length} moved${failed > 0 ? `, ${failed} could not be` : ''}`
  const lines = [
    ...describe(renewal),
    sum,
    ...(rows.length > 0 ? columns([['APP', 'OUTCOME', 'RELEASE', 'TOOK', ''], ...rows]) : []),
  ]
  const json = { ...facts(renewal), apps: moves }
  if (failed === 0) return { lines, json }
  await print(call.session.stdout, call.json ? [JSON.stringify(json, null, 2)] : lines)
  return 1
}

const shownMost = 20

function describe({ made, outdated, stacks }: Renewal): string[] {
  const shown = outdated.slice(0, shownMost).map(newer)
  const more = outdated.length > shownMost ? [`and ${outdated.length - shownMost} more`] : []
  const outcome = made ? 'is what new builds stand on' : 'is up to date'
  return [
    ...[...shown, ...more].map((line) => `       ${line}`),
    `=====> ${stacks.run.label} ${outcome}`,
  ]
}

function newer({ name, installed, offered }: Outdated): string {
  return `${name} ${installed} → ${offered}`
}

function facts({ made, outdated, stacks }: Renewal) {
  return { stack: stacks.run.key, made, outdated }
}
