import { dirname, join, resolve } from 'node:path'
import { Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import type { Say } from '../core/types.ts'
import type { Plugin } from './load.ts'
import { type TriggerName, triggers } from './names.ts'

/** What a script is told: arguments, variables, and the same and more as JSON on its stdin. */
export type TriggerEvent = {
  name: TriggerName
  args: string[]
  vars: Record<string, string>
  json: unknown
}

export type TriggerContext = {
  say: Say
  signal?: AbortSignal | undefined
  timeoutMs: number
  /** Where scripts start; their plugin's own folder unless given. */
  cwd?: string | undefined
}

/** Whether any enabled plugin has a script for it: asked before anything is prepared. */
export function listens(plugins: Plugin[], name: TriggerName): boolean {
  return listeners(plugins, name).length > 0
}

/**
 * Runs each listening plugin's script, one after another, its output going to the pusher's stream
 * a line at a time. A failing script of a trigger that `stops` throws a Failure that names the
 * plugin; of any other it is a warning. A script past its deadline is killed with its whole group.
 */
export async function trigger(
  plugins: Plugin[],
  event: TriggerEvent,
  context: TriggerContext,
): Promise<void> {
  for (const plugin of listeners(plugins, event.name)) {
    try {
      await runScript(plugin, event, context)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      const sentence = `Plugin "${plugin.name}" failed in ${event.name}: ${reason(error)}`
      if (triggers[event.name].stops || context.signal?.aborted) {
        throw new Failure('failed', sentence, {
          hint: `To go on without it: plugin:disable ${plugin.name}`,
          cause: error,
        })
      }
      context.say(` !     ${sentence}`)
    }
  }
}

/**
 * Runs the script `commands` of one plugin; what it prints is handed on as it is. Returns its exit
 * status.
 */
export async function runCommand(
  plugin: Plugin,
  event: TriggerEvent,
  context: TriggerContext,
): Promise<number> {
  const every = Array.from({ length: 256 }, (_, code) => code)
  const { code } = await runScript(plugin, event, context, { indent: '', accept: every })
  return code
}

function listeners(plugins: Plugin[], name: TriggerName): Plugin[] {
  return plugins.filter(({ state, triggers: own }) => state === 'enabled' && own.includes(name))
}

async function runScript(
  plugin: Plugin,
  { name, args, vars, json }: TriggerEvent,
  { say, signal, timeoutMs, cwd }: TriggerContext,
  { indent, accept }: { indent: string; accept: number[] } = { indent: '       ', accept: [0] },
) {
  return exec(join(plugin.dir, name), args, {
    cwd: cwd ?? plugin.dir,
    env: { ...baseEnvironment(), ...vars, PAAS_TRIGGER: name, PAAS_PLUGIN: plugin.name },
    input: JSON.stringify(json),
    timeoutMs,
    killRest: true,
    ...(signal ? { signal } : {}),
    accept,
    onLine: (line) => say(`${indent}${line}`),
  })
}

/** Where this instance lies, and how the host reaches the network. */
const inherited = /^(PAAS_(HOME|RUN|CACHE|DOMAIN)|TZ|NODE_EXTRA_CA_CERTS|SSL_CERT_\w+|\w+_proxy)$/i

/**
 * Nothing of the daemon's environment but where this instance lies, so that a script can call
 * `paas`; first in the path is the Node that runs us, which runs a TypeScript script as it is.
 */
function baseEnvironment(): Record<string, string> {
  const own = Object.entries(process.env).filter((pair): pair is [string, string] => {
    return pair[1] !== undefined && inherited.test(pair[0])
  })
  const scripts = resolve(import.meta.dirname, '../scripts')
  const path = [dirname(process.execPath), scripts, '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin']
  return { ...Object.fromEntries(own), PATH: path.join(':'), HOME: '/root', LANG: 'C.UTF-8' }
}

/** `exited with 3`, `took longer than 60 s`: what the script did, without what it printed. */
function reason(error: Failure): string {
  const [, exit] = /exited with (\d+)/.exec(error.message) ?? []
  if (exit !== undefined) return `it exited with ${exit}`
  return error.message
}
