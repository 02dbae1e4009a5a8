import { Failure } from '../../core/errors.ts'
import { maskAddresses } from '../../core/mask.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { drainHost, parseDrain } from '../logs/drain-target.ts'
import { outsideOnly, refuseOwn } from '../logs/own-network.ts'
import type { DrainRow } from '../store/logs.ts'
import { refuseLocked } from '../apps/locks.ts'
import type { Answer, Command } from './command.ts'
import { findApp } from '../apps/find-app.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

const drainsMost = 8

export const drainCommands: Command[] = [
  {
    name: 'logs:drain',
    usage: 'add|remove|list APP [URL]',
    summary: 'Send the log lines of an app to https://… as JSON, or to syslog+tls://host:port',
    app: false,
    run: async (call, daemon) => {
      const [verb, name, url] = call.args
      if (name === undefined || !['add', 'remove', 'list'].includes(verb ?? '')) {
        throw usageFailure(call.command, 'logs:drain wants add, remove or list, and an app')
      }
      const app = findApp(name, daemon)
      if (verb === 'list') return list(daemon, app)
      refuseLocked(daemon.store, app.name)
      if (url === undefined) throw usageFailure(call.command, `logs:drain ${verb} needs an address`)
      return verb === 'add'
        ? add(daemon, app, { url: parseDrain(url), anywhere: call.session.identity.local === true })
        : remove(daemon, app, parseDrain(url))
    },
  },
]

async function add(daemon: Daemon, app: App, drain: DrainRow): Promise<Answer> {
  const { url, anywhere } = drain
  if (!anywhere) await refuseOwn(outsideOnly(daemon.config.subnet), drainHost(url))
  if (daemon.store.drains(app).length >= drainsMost) {
    throw new Failure('failed', `${app.name} has ${drainsMost} drains, which is the most`)
  }
  daemon.store.addDrain(app, drain)
  await daemon.drains.sync(app)
  const shown = maskAddresses(url)
  return {
    lines: [`       Sending to ${shown}`],
    json: { url: shown },
    event: { kind: 'drains', text: `Added ${shown}`, app },
  }
}

/** `given` as it was added, or as it is shown. */
async function remove(daemon: Daemon, app: App, given: string): Promise<Answer> {
  const urls = daemon.store.drains(app).map(({ url }) => url)
  const url = urls.find((one) => maskAddresses(one) === given) ?? given
  if (!daemon.store.removeDrain(app, url)) {
    throw new Failure('failed', `${app.name} has no drain ${maskAddresses(url)}`)
  }
  await daemon.drains.sync(app)
  const shown = maskAddresses(url)
  return {
    lines: [`       Removed ${shown}`],
    json: { url: shown },
    event: { kind: 'drains', text: `Removed ${shown}`, app },
  }
}

function list(daemon: Daemon, app: App): Answer {
  const facts = daemon.drains.report(app)
  const rows = facts.map(({ url, sent, waiting, dropped, problem }) => [
    url,
    ...[sent, waiting, dropped].map(String),
    problem ?? '',
  ])
  const head = ['URL', 'SENT', 'WAITING', 'DROPPED', 'PROBLEM']
  return { lines: columns([head, ...rows]), json: facts }
}
