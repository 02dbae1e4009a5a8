import { Failure } from '../../core/errors.ts'
import { parseAppName } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import { cloneApp, createApp, destroyApp, recordCreated } from '../apps/apps.ts'
import type { Daemon } from '../daemon.ts'
import { appUrls } from '../apps/hosts.ts'
import { renameApp } from '../apps/rename.ts'
import { shownUrls } from '../apps/urls.ts'
import { confirmByName } from './ask.ts'
import type { Answer, Call, Command } from './command.ts'
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
      const wanted = freeName(daemon, name)
      const app = await createApp(daemon, wanted, call.say)
      recordCreated(daemon, app, call.session.identity.name, 'Created')
      const urls = await shownUrls(daemon, app, call.say)
      return {
        lines: [`-----> Created ${app.name}`, ...urls.map((url) => `       ${url}`)],
        json: describe(daemon, app),
      }
    },
  },
  {
    name: 'apps:autocreate',
    usage: '[on | off]',
    summary: 'Show or choose whether a push to an app that does not exist creates it',
    app: false,
    run: async (call, daemon) => {
      const [wish] = call.args
      if (wish !== undefined && !['on', 'off'].includes(wish)) {
        throw usageFailure(call.command, 'apps:autocreate wants on or off')
      }
      if (wish !== undefined) daemon.store.setAutocreate(wish === 'on')
      const on = daemon.store.autocreate()
      const text = on ? 'A push creates its app' : 'A push creates no app: apps:create does'
      const answer: Answer = { lines: [`       ${text}`], json: { autocreate: on } }
      if (wish !== undefined) answer.event = { kind: 'apps', text, app: null }
      return answer
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
      const urls = await shownUrls(daemon, call.app(), call.say)
      const facts = { ...describe(daemon, call.app()), urls }
      const rows = Object.entries(facts).map(([key, value]) => [`${key}:`, show(value)])
      return { lines: columns(rows), json: facts }
    },
  },
  {
    name: 'apps:exists',
    usage: 'APP',
    summary: 'Exit with 0 when there is such an app, with 20 when not',
    app: true,
    run: async (call) => ({ lines: [], json: { exists: call.app().name } }),
  },
  {
    name: 'apps:clone',
    usage: 'APP NEW',
    summary:
      'Create an app with the settings, storages, cron jobs and running image of another; no domain',
    app: true,
    run: async (call, daemon) => {
      const [name] = call.args
      if (name === undefined) throw usageFailure(call.command, 'apps:clone needs a new name')
      const wanted = { name: freeName(daemon, name), by: call.session.identity.name }
      const app = await cloneApp(daemon, call.app(), wanted, call.ask)
      const urls = await shownUrls(daemon, app, call.say)
      return {
        lines: [
          `-----> Cloned ${call.app().name} to ${app.name}`,
          ...urls.map((url) => `       ${url}`),
        ],
        json: describe(daemon, app),
      }
    },
  },
  {
    name: 'apps:rename',
    usage: 'APP NEW',
    summary: 'Give an app another name and host name; all that belongs to it goes along',
    app: true,
    run: async (call, daemon) => {
      const [name] = call.args
      if (name === undefined) throw usageFailure(call.command, 'apps:rename needs a new name')
      const before = call.app().name
      const wanted = { name: freeName(daemon, name), by: call.session.identity.name }
      const app = await renameApp(daemon, call.app(), wanted, call.ask)
      const urls = await shownUrls(daemon, app, call.say)
      return {
        lines: [
          `-----> Renamed ${before} to ${app.name}`,
          ...urls.map((url) => `       ${url}`),
          `       In each checkout: git remote set-url paas paas:${app.name}`,
        ],
        json: describe(daemon, app),
      }
    },
  },
  {
    name: 'apps:lock',
    usage: 'APP',
    summary: 'Let an app take no push and no change; what runs is kept up',
    app: true,
    run: async (call, daemon) => setLock(call, daemon, call.session.identity.name),
  },
  {
    name: 'apps:unlock',
    usage: 'APP',
    summary: 'Let an app take pushes and changes again',
    app: true,
    run: async (call, daemon) => setLock(call, daemon, null),
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
      return {
        lines: [`-----> Destroyed ${app.name}`],
        json: { destroyed: app.name },
        event: { kind: 'destroyed', text: `Destroyed ${app.name}`, app: null },
      }
    },
  },
]

function freeName(daemon: Daemon, text: string): string {
  const name = parseAppName(text)
  if (!daemon.store.findApp(name)) return name
  throw new Failure('failed', `App "${name}" exists already`)
}

function setLock(call: Call, daemon: Daemon, by: string | null): Answer {
  const { name } = call.app()
  daemon.store.setLock(call.app(), by)
  const line = by === null ? `${name} takes pushes and changes again` : `${name} is locked`
  return {
    lines: [`       ${line}`],
    json: { app: name, lockedBy: by },
    event: { kind: 'lock', text: by === null ? 'Unlocked' : 'Locked' },
  }
}

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
    lockedBy: app.lockedBy,
    maintenance: app.maintenance !== null,
    createdAt: app.createdAt,
  }
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ')
  return value === null ? '-' : String(value)
}
