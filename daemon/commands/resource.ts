import { availableParallelism, totalmem } from 'node:os'
import type { Limits } from '../../core/types.ts'
import { applyChange, applySetting, limitsChange } from '../changes.ts'
import type { Answer, Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'

const units: Record<string, number> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }
const memoryLeast = 16 * 1024 ** 2

export const resourceCommands: Command[] = [
  {
    name: 'resource:limit',
    usage: 'APP',
    summary: 'Limit what each process of an app may use, and restart with it',
    app: true,
    options: {
      memory: { type: 'string', value: 'SIZE', help: 'Memory, such as 256m or 1g' },
      cpu: { type: 'string', value: 'CORES', help: 'CPU in cores, such as 0.5 or 2' },
      pids: { type: 'string', value: 'COUNT', help: 'Processes and threads' },
    },
    run: async (call, daemon) => {
      const app = call.app()
      const limits = { ...app.limits, ...parseLimits(call) }
      if (JSON.stringify(limits) === JSON.stringify(app.limits)) return report(app.limits)
      if (daemon.store.currentRelease(app.name)) {
        const change = limitsChange(daemon, app, limits, call.session.identity.name)
        await applyChange(daemon, change, call.ask)
      } else {
        await applySetting(daemon, app, call.ask, () => void daemon.store.setLimits(app, limits))
      }
      return report(limits)
    },
  },
  {
    name: 'resource:report',
    usage: 'APP',
    summary: 'Show what each process of an app may use',
    app: true,
    run: async (call) => report(call.app().limits),
  },
]

function report(limits: Limits): Answer {
  const lines = [
    `       memory: ${limits.memoryBytes / 1024 ** 2} MiB`,
    `       cpu:    ${limits.cpus}`,
    `       pids:   ${limits.pids}`,
  ]
  return { lines, json: limits }
}

function parseLimits(call: Call): Partial<Limits> {
  const { memory, cpu, pids } = call.options
  const wish: Partial<Limits> = {}
  if (memory !== undefined) wish.memoryBytes = parseMemory(call, String(memory))
  if (cpu !== undefined) wish.cpus = within(call, 'cpu', Number(cpu), 0.01, availableParallelism())
  if (pids !== undefined) wish.pids = within(call, 'pids', whole(String(pids)), 8, 100_000)
  return wish
}

/** `256m`, `1g`, `512MiB`; a bare number is mebibytes. */
function parseMemory(call: Call, text: string): number {
  const [, number, unit = 'm'] = /^(\d+(?:\.\d+)?)([kmg]?)(?:i?b)?$/i.exec(text) ?? []
  const bytes = Math.floor(Number(number) * (units[unit.toLowerCase() || 'm'] ?? NaN))
  return within(call, 'memory', bytes, memoryLeast, totalmem())
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
