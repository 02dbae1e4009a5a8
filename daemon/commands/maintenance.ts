import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import type { App } from '../../core/types.ts'
import { takeTurn } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import type { Answer, Call, Command } from './command.ts'
import { readStdin } from './stdin.ts'

export const maintenanceCommands: Command[] = [
  {
    name: 'maintenance:on',
    usage: 'APP [--page < FILE]',
    summary: 'Answer every request with a page and status 503; the processes keep running',
    app: true,
    options: { page: { type: 'boolean', help: 'Take the page, HTML, from standard input' } },
    run: async (call, daemon) => {
      const page = call.options.page ? await readStdin(call, limits.maintenancePageBytes) : ''
      if (call.options.page && page === '') {
        throw new Failure('usage', 'The page on standard input is empty')
      }
      return set(call, daemon, page)
    },
  },
  {
    name: 'maintenance:off',
    usage: 'APP',
    summary: 'Let requests reach the app again',
    app: true,
    run: (call, daemon) => set(call, daemon, null),
  },
  {
    name: 'maintenance:report',
    usage: 'APP',
    summary: 'Show whether an app is in maintenance, and with which page',
    app: true,
    run: async (call) => report(call.app()),
  },
]

async function set(call: Call, daemon: Daemon, page: string | null): Promise<Answer> {
  const app = call.app()
  using turn = await takeTurn(daemon, app, call.ask)
  void turn
  const before = daemon.store.findApp(app.name)?.maintenance ?? null
  daemon.store.setMaintenance(app, page)
  try {
    await daemon.routes.pointAtCurrent(app)
  } catch (error) {
    daemon.store.setMaintenance(app, before)
    throw error
  }
  const on = page === '' ? 'On' : 'On, with a page of its own'
  return {
    ...report({ ...app, maintenance: page }),
    event: { kind: 'maintenance', text: page === null ? 'Off' : on },
  }
}

function report({ name, maintenance }: App): Answer {
  const page = maintenance === '' ? 'paas' : 'own'
  const facts = {
    app: name,
    maintenance: maintenance !== null,
    page: maintenance === null ? null : page,
  }
  const words = maintenance === '' ? 'with the page of paas' : 'with a page of its own'
  const line =
    maintenance === null ? `${name} takes requests` : `${name} is in maintenance, ${words}`
  return { lines: [`       ${line}`], json: facts }
}
