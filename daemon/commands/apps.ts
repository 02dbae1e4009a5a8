import { Failure } from '../../core/errors.ts'
import { parseAppName } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import { createApp, destroyApp } from '../apps.ts'
import type { Daemon } from '../daemon.ts'
import { appUrls } from '../hosts.ts'
import { confirmByName } from './ask.ts'
import type { Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

export const appCommands: Command[] = [
  {
    name: 'apps:create',
    usage: 'APP',
    summary: 'Create an app; a first push does it too',
    app: false,
    run: async (call, daemon) => {
      const [name] = call.args
      if (name === undefined) throw usageFailure(call.command, 'apps:create needs a name')
      const wanted = parseAppName(name)
      if (daemon.store.findApp(wanted)) {
        throw new Failure('failed', `App "${wanted}" exists already`)
      }
      const app = await createApp(daemon, wanted, call.say)
      const urls = appUrls(daemon.config, daemon.store, app)
      return {
        lines: [`-----> Created ${app.name}`, ...urls.map((url) => `       ${url}`)],
        json: describe(daemon, app),
      }
    },
  },
  {
    name: 'apps:list',
    usage: '',
    summary: 'List all apps',
    app: false,
    run: async (_call, daemon) => {
      const apps = daemon.store.apps().map((app) => describe(daemon, app))
      const rows = apps.map(({ name, release, running, urls }) => [
        name,
        release ?? '-',
        running,
        urls[0] ?? '',
      ])
      return { lines: columns([['APP', 'RELEASE', 'RUNNING', 'URL'], ...rows]), json: apps }
    },
  },
  {
    name: 'apps:info',
    usage: 'APP',
    summary: 'Show what is known of an app',
    app: true,
    run: async (call, daemon) => {
      const facts = describe(daemon, call.app())
      const rows = Object.entries(facts).map(([key, value]) => [`${key}:`, show(value)])
      return { lines: columns(rows), json: facts }
    },
  },
  {
    name: 'apps:destroy',
    usage: 'APP',
    summary: 'Remove an app with its releases, domains, config and logs',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      await confirmByName(call, app.name, `This destroys ${app.name} with all that belongs to it`)
      await destroyApp(daemon, app, call.ask)
      return { lines: [`-----> Destroyed ${app.name}`], json: { destroyed: app.name } }
    },
  },
]

function describe(daemon: Daemon, app: App) {
  const release = daemon.store.currentRelease(app.name)
  const live = daemon.fleet.of(app.name).filter(({ state }) => state === 'live')
  const wanted = Object.values(daemon.store.formation(app)).reduce((sum, count) => sum + count, 0)
  return {
    name: app.name,
    release: release ? `v${release.version}` : null,
    commit: release?.commit ?? null,
    language: release?.image.language ?? null,
    running: release ? `${live.length}/${wanted}` : '0/0',
    deployBranch: app.deployBranch,
    urls: appUrls(daemon.config, daemon.store, app),
    createdAt: app.createdAt,
  }
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ')
  return value === null ? '-' : String(value)
}
