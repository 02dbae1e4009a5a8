import { Failure } from '../../core/errors.ts'
import { parseDomain } from '../../core/names.ts'
import type { Daemon } from '../daemon.ts'
import { defaultHost, refuseTakenHost } from '../apps/hosts.ts'
import { shownUrls } from '../apps/urls.ts'
import type { Answer, Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'

export const domainCommands: Command[] = [
  {
    name: 'domains:add',
    usage: 'APP DOMAIN [DOMAIN ...]',
    summary: 'Let an app answer to more domains',
    app: true,
    changes: true,
    run: async (call, daemon) => {
      const { name } = call.app()
      const hosts = parseHosts(call, daemon)
      if (hosts.length > 0) return change(call, daemon, { add: hosts, remove: [] })
      const line = `       ${call.args.join(', ')} leads to ${name} already`
      return { lines: [line], json: { added: [], removed: [] } }
    },
  },
  {
    name: 'domains:set',
    usage: 'APP DOMAIN [DOMAIN ...]',
    summary: 'Let an app answer to these domains, and no longer to others that it had',
    app: true,
    changes: true,
    run: async (call, daemon) => {
      const hosts = parseHosts(call, daemon)
      const others = daemon.store.domains(call.app()).filter((host) => !hosts.includes(host))
      return change(call, daemon, { add: hosts, remove: others })
    },
  },
  {
    name: 'domains:clear',
    usage: 'APP',
    summary: 'Take all domains from an app; it keeps the name that goes with its own',
    app: true,
    changes: true,
    run: async (call, daemon) => {
      return change(call, daemon, { add: [], remove: daemon.store.domains(call.app()) })
    },
  },
  {
    name: 'domains:remove',
    usage: 'APP DOMAIN [DOMAIN ...]',
    summary: 'Take domains from an app',
    app: true,
    changes: true,
    run: async (call, daemon) => {
      const app = call.app()
      const hosts = parseHosts(call, daemon)
      const known = daemon.store.domains(app)
      const unknown = hosts.find((host) => !known.includes(host))
      if (unknown !== undefined) {
        throw new Failure('failed', `${app.name} does not have the domain ${unknown}`)
      }
      if (hosts.length > 0) return change(call, daemon, { add: [], remove: hosts })
      throw new Failure('failed', `${defaultHost(daemon.config, app.name)} goes with ${app.name}`, {
        hint: `To give it another: apps:rename ${app.name} NEW`,
      })
    },
  },
  {
    name: 'domains:report',
    usage: 'APP',
    summary: 'List the names an app answers to',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const facts = {
        default: defaultHost(daemon.config, app.name),
        domains: daemon.store.domains(app),
        urls: await shownUrls(daemon, app, call.say),
      }
      return { lines: facts.urls.map((url) => `       ${url}`), json: facts }
    },
  },
]

/** Adds before it removes, so that no request is lost on the way. */
async function change(
  call: Call,
  daemon: Daemon,
  { add, remove }: { add: string[]; remove: string[] },
): Promise<Answer> {
  const app = call.app()
  for (const host of add) refuseBareName(daemon, host)
  for (const host of add) refuseTakenHost(daemon.config, daemon.store, host, app.name)
  const known = new Set(daemon.store.domains(app))
  for (const host of add.filter((one) => !known.has(one))) daemon.store.addDomain(app, host)
  for (const host of remove) daemon.store.removeDomain(app, host)
  daemon.routes.syncHosts(app)
  const args = [...add, ...remove]
  await daemon.triggers.fire('post-domains-update', { app: app.name, args }, call.say)
  const told = [
    ...(add.length > 0 ? [`Added ${add.join(', ')}`] : []),
    ...(remove.length > 0 ? [`Removed ${remove.join(', ')}`] : []),
  ]
  return {
    lines: [
      ...add.map((host) => `-----> ${host} leads to ${app.name}`),
      ...remove.map((host) => `-----> ${host} no longer leads to ${app.name}`),
    ],
    json: { added: add, removed: remove },
    ...(told.length > 0 && { event: { kind: 'domains', text: told.join('; ') } }),
  }
}

/** A name without a dot is nobody's in DNS: it was meant to be below a domain. */
function refuseBareName({ config }: Daemon, host: string): void {
  if (host.includes('.') || host === config.domain) return
  throw new Failure('usage', `"${host}" is not a full domain name`, {
    hint: `Use a name like ${host}.example.com; names below ${config.domain} are the apps' own`,
  })
}

/** The app's own name under the base domain is always its own. */
function parseHosts(call: Call, daemon: Daemon): string[] {
  if (call.args.length === 0)
    throw usageFailure(call.command, `${call.command.name} needs a domain`)
  const own = defaultHost(daemon.config, call.app().name)
  return [...new Set(call.args.map(parseDomain))].filter((host) => host !== own)
}
