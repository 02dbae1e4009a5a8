import { Failure } from '../../core/errors.ts'
import { parseDomain } from '../../core/names.ts'
import type { Daemon } from '../daemon.ts'
import { defaultHost, refuseTakenHost } from '../apps/hosts.ts'
import { refuseLocked } from '../apps/locks.ts'
import { shownUrls } from '../apps/urls.ts'
import type { Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'

export const domainCommands: Command[] = [
  {
    name: 'domains:add',
    usage: 'APP DOMAIN [DOMAIN ...]',
    summary: 'Let an app answer to more domains',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      refuseLocked(daemon.store, app.name)
      const hosts = parseHosts(call, daemon)
      for (const host of hosts) refuseBareName(daemon, host)
      for (const host of hosts) refuseTakenHost(daemon.config, daemon.store, host, app.name)
      if (hosts.length === 0) {
        const line = `       ${call.args.join(', ')} leads to ${app.name} already`
        return { lines: [line], json: { added: [] } }
      }
      const known = new Set(daemon.store.domains(app))
      for (const host of hosts.filter((one) => !known.has(one))) daemon.store.addDomain(app, host)
      daemon.routes.syncHosts(app)
      await daemon.triggers.fire('post-domains-update', { app: app.name, args: hosts }, call.say)
      return {
        lines: hosts.map((host) => `-----> ${host} leads to ${app.name}`),
        json: { added: hosts },
        event: { kind: 'domains', text: `Added ${hosts.join(', ')}` },
      }
    },
  },
  {
    name: 'domains:remove',
    usage: 'APP DOMAIN [DOMAIN ...]',
    summary: 'Take domains from an app',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      refuseLocked(daemon.store, app.name)
      const hosts = parseHosts(call, daemon)
      const known = daemon.store.domains(app)
      const unknown = hosts.find((host) => !known.includes(host))
      if (unknown !== undefined) {
        throw new Failure('failed', `${app.name} does not have the domain ${unknown}`)
      }
      for (const host of hosts) daemon.store.removeDomain(app, host)
      daemon.routes.syncHosts(app)
      await daemon.triggers.fire('post-domains-update', { app: app.name, args: hosts }, call.say)
      return {
        lines: hosts.map((host) => `-----> ${host} no longer leads to ${app.name}`),
        json: { removed: hosts },
        event: { kind: 'domains', text: `Removed ${hosts.join(', ')}` },
      }
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
