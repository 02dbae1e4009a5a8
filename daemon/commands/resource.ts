import { availableParallelism, totalmem } from 'node:os'
import { defaultDiskBytes } from '../../core/config.ts'
import { parseSize, showSize } from '../../core/measures.ts'
import type { AppLimits, Limits } from '../../core/types.ts'
import { current, refuseUnknownTypes } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { applyLimits } from '../process-changes.ts'
import { limitsOf } from '../fleet/processes.ts'
import type { Answer, Call, Command } from './command.ts'
import { isProcessType } from '../../core/names.ts'
import { usageFailure } from './parse.ts'

const memoryLeast = 16 * 1024 ** 2
const diskMost = 1024 ** 5

export const resourceCommands: Command[] = [
  {
    name: 'resource:limit',
    usage: 'APP',
    summary: 'Limit what each process may use; live, or with a restart where that cannot be',
    app: true,
    options: {
      memory: { type: 'string', value: 'SIZE', help: 'Memory, such as 256m or 1g' },
      cpu: { type: 'string', value: 'CORES', help: 'CPU in cores, such as 0.5 or 2' },
      pids: { type: 'string', value: 'COUNT', help: 'Processes and threads' },
      disk: { type: 'string', value: 'SIZE', help: 'What it writes outside of storages: 1g' },
      'process-type': {
        type: 'string',
        value: 'TYPE',
        help: 'Only for this one; run for one-offs',
      },
    },
    run: async (call, daemon) => {
      const app = call.app()
      const wish = parseLimits(call)
      const type = parseType(call, daemon)
      const { noQuota } = daemon.host
      if (Object.keys(wish).length === 0) return report(app.limits, noQuota)
      const edit = (now: AppLimits) => withLimits(now, type, wish)
      const by = call.session.identity.name
      const { limits, how } = await applyLimits(daemon, { app, edit, by }, call.ask)
      if (how === 'unchanged') return report(limits, noQuota)
      if (how === 'live') call.say('       Changed as they run; nothing was restarted')
      const text = `Changed limits, ${how === 'live' ? 'as they run' : how}`
      return {
        ...report(limits, noQuota),
        ...(how === 'restarted' ? {} : { event: { kind: 'limits', text } }),
      }
    },
  },
  {
    name: 'resource:report',
    usage: 'APP',
    summary: 'Show what each process of an app may use',
    app: true,
    run: async (call, daemon) => report(call.app().limits, daemon.host.noQuota),
  },
]

/** `noQuota`: why what is written is not limited, where it is not. */
function report(limits: AppLimits, noQuota: string | undefined): Answer {
  const types = Object.keys(limits.types ?? {}).sort()
  const shown = (type: string) => show(limitsOf(limits, type), noQuota)
  const own = types.flatMap((type) => [`-----> ${type}`, ...shown(type)])
  const json = { ...limits, diskBytes: limits.diskBytes ?? defaultDiskBytes }
  return { lines: [...shown(''), ...own], json }
}

function show(limits: Limits, noQuota: string | undefined): string[] {
  const disk = showSize(limits.diskBytes ?? defaultDiskBytes)
  return [
    `       memory: ${limits.memoryBytes / 1024 ** 2} MiB`,
    `       cpu:    ${limits.cpus}`,
    `       pids:   ${limits.pids}`,
    `       disk:   ${noQuota === undefined ? disk : `${disk}, not enforced: ${noQuota}`}`,
  ]
}

/** The limits of an app with these for all, or for the one type that is named. */
function withLimits(now: AppLimits, type: string | undefined, wish: Partial<Limits>): AppLimits {
  if (type === undefined) return { ...now, ...wish }
  return { ...now, types: { ...now.types, [type]: { ...now.types?.[type], ...wish } } }
}

function parseType(call: Call, daemon: Daemon): string | undefined {
  const given = call.options['process-type']
  if (given === undefined) return undefined
  const type = String(given)
  if (!isProcessType(type)) throw usageFailure(call.command, 'That is not a process type')
  if (type !== 'run' && daemon.store.currentRelease(call.app().name)) {
    refuseUnknownTypes({ [type]: 1 }, current(daemon, call.app()))
  }
  return type
}

function parseLimits(call: Call): Partial<Limits> {
  const { memory, cpu, pids, disk } = call.options
  const wish: Partial<Limits> = {}
  if (memory !== undefined) {
    const bytes = parseSize(String(memory)) ?? NaN
    wish.memoryBytes = within(call, 'memory', bytes, memoryLeast, totalmem())
  }
  if (cpu !== undefined) wish.cpus = within(call, 'cpu', Number(cpu), 0.01, availableParallelism())
  if (pids !== undefined) wish.pids = within(call, 'pids', whole(String(pids)), 8, 100_000)
  if (disk !== undefined) wish.diskBytes = parseDisk(call, String(disk))
  return wish
}

function parseDisk(call: Call, text: string): number {
  const bytes = parseSize(text) ?? NaN
  if (bytes >= memoryLeast && bytes <= diskMost) return bytes
  throw usageFailure(call.command, '--disk wants a size like 500m or 2g, from 16m on')
}

function whole(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : NaN
}

function within(call: Call, name: string, value: number, least: number, most: number): number {
  if (value >= least && value <= most) return value
  const host = `${Math.floor(totalmem() / 1024 ** 2)}m, which is all this host has`
  const range =
    name === 'memory' ? `a size like 256m or 1g, from 16m to ${host}` : `${least} to ${most}`
  throw usageFailure(call.command, `--${name} wants ${range}`)
}
