import { parseHost } from '../../builder/image/reference.ts'
import { Failure } from '../../core/errors.ts'
import type { Answer, Call, Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'
import { readStdin, refuseTerminal } from './stdin.ts'

const passwordBytesMost = 16 * 1024

export const registryCommands: Command[] = [
  {
    name: 'registry:login',
    usage: 'HOST USER',
    summary: 'Keep a user and a password for a registry; the password is read from standard input',
    app: false,
    run: async (call, daemon) => {
      const host = hostOf(call)
      const user = call.args[1]
      if (user === undefined) throw usageFailure(call.command, 'registry:login needs a user')
      refuseTerminal(call, 'the password', `${host} ${user} < password`)
      const password = (await readStdin(call, passwordBytesMost)).replace(/\r?\n$/, '')
      if (password === '') throw usageFailure(call.command, 'Standard input holds no password')
      daemon.store.setRegistryLogin(host, { user, password })
      return done(`${user} is who paas is to ${host}`, { host, user })
    },
  },
  {
    name: 'registry:logout',
    usage: 'HOST',
    summary: 'Forget the user and the password for a registry',
    app: false,
    run: async (call, daemon) => {
      const host = hostOf(call)
      daemon.store.setRegistryLogin(host, null)
      return done(`Nobody is logged in to ${host}`, { host })
    },
  },
  ...[true, false].map((allowed) => ({
    name: allowed ? 'registry:allow' : 'registry:forbid',
    usage: 'HOST',
    summary: allowed
      ? 'Let a registry be used without TLS, or on this server itself; for root on the server'
      : 'Take back what registry:allow has allowed; for root on the server',
    app: false,
    run: async (call: Call, daemon: Parameters<Command['run']>[1]) => {
      const host = hostOf(call)
      if (!call.session.identity.local) {
        throw new Failure('forbidden', `${call.command.name} is for root on the server alone`, {
          hint: `There: paas ${call.command.name} ${host}`,
        })
      }
      daemon.store.allowRegistry(host, allowed)
      const how = allowed ? 'may be used without TLS' : 'is used with TLS only'
      return done(`${host} ${how}`, { host, allowed })
    },
  })),
  {
    name: 'registry:list',
    usage: '',
    summary: 'List the registries that paas has a password for, or may use without TLS',
    app: false,
    run: async (_call, daemon) => {
      const facts = daemon.store.registries().map(({ host, login, allowed }) => {
        return { host, user: login?.user ?? null, allowed }
      })
      const rows = facts.map(({ host, user, allowed }) => {
        return [host, user ?? '-', allowed ? 'without TLS' : 'TLS']
      })
      return { lines: columns([['REGISTRY', 'USER', 'BY'], ...rows]), json: facts }
    },
  },
]

/** What was changed: told to whoever asked, and kept in the host's events. */
function done(text: string, json: Record<string, unknown>): Answer {
  return { lines: [`-----> ${text}`], json, event: { kind: 'registries', text } }
}

function hostOf(call: Call): string {
  const [host] = call.args
  if (host === undefined) throw usageFailure(call.command, `${call.command.name} needs a host`)
  return parseHost(host)
}
