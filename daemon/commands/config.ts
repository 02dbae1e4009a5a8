import { Failure } from '../../core/errors.ts'
import { limits } from '../../core/config.ts'
import { maskValue } from '../../core/mask.ts'
import { parseConfigKey, printable } from '../../core/names.ts'
import type { Config } from '../../core/types.ts'
import {
  applyOrSet,
  applySetting,
  configChange,
  type ConfigPatch,
  listed,
  patchConfig,
} from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { type ConfigFormat, formatConfig, parseConfigText, shellQuote } from '../apps/env-file.ts'
import { confirmByName } from './ask.ts'
import type { Answer, Call, Command } from './command.ts'
import { checkValues, decoded, encoded, givenPairs } from './config-values.ts'
import { usageFailure } from './parse.ts'
import { readStdin } from './stdin.ts'

const global = { type: 'boolean', help: 'The config that all apps share; no APP then' } as const
const base64 = { type: 'boolean', help: 'Values are base64' } as const
const noRestart = {
  type: 'boolean',
  help: 'Keep the running processes as they are; the next release has the change',
} as const

export const configCommands: Command[] = [
  {
    name: 'config:show',
    usage: 'APP | --global',
    summary: 'Show all config of an app',
    app: true,
    options: { global },
    run: async (call, daemon) => {
      const config = configOf(call, daemon)
      const lines = Object.entries(config).map(([key, value]) => `${key}=${shellQuote(value)}`)
      return { lines: lines.sort(), json: config }
    },
  },
  {
    name: 'config:keys',
    usage: 'APP | --global',
    summary: 'List the keys of an app, without their values',
    app: true,
    options: { global },
    run: async (call, daemon) => {
      const keys = Object.keys(configOf(call, daemon)).sort()
      return { lines: keys, json: keys }
    },
  },
  {
    name: 'config:get',
    usage: 'APP KEY',
    summary: 'Print the value of one key, as it is',
    app: true,
    options: { global, encoded: base64 },
    run: async (call, daemon) => {
      const [key] = call.args
      if (key === undefined) throw usageFailure(call.command, 'config:get needs a key')
      const config = configOf(call, daemon)
      const value = Object.hasOwn(config, key) ? config[key] : undefined
      if (value === undefined) {
        throw new Failure('failed', `${ownerOf(call)} has no ${printable(maskValue(key))}`)
      }
      const shown = call.options.encoded ? encoded(value) : value
      return { lines: [shown], json: shown }
    },
  },
  {
    name: 'config:export',
    usage: 'APP | --global',
    summary: 'Print all config as a file that config:import, a shell or a program reads',
    app: true,
    options: {
      global,
      encoded: base64,
      format: { type: 'string', value: 'FORMAT', help: 'env (unless given), shell or json' },
    },
    run: async (call, daemon) => {
      const config = configOf(call, daemon)
      const shown = call.options.encoded ? mapValues(config, encoded) : config
      return { lines: formatConfig(shown, parseFormat(call)), json: shown }
    },
  },
  {
    name: 'config:set',
    usage: 'APP KEY=VALUE [KEY=VALUE ...] | APP KEY --stdin',
    summary: 'Set config and restart with it; an unhealthy restart puts the old config back',
    app: true,
    options: {
      'no-restart': noRestart,
      global,
      encoded: base64,
      stdin: { type: 'boolean', help: 'Take the value of the one KEY from standard input' },
    },
    run: async (call, daemon) => change(call, daemon, await givenPairs(call)),
  },
  {
    name: 'config:unset',
    usage: 'APP KEY [KEY ...]',
    summary: 'Remove config and restart without it',
    app: true,
    options: { 'no-restart': noRestart, global },
    run: async (call, daemon) => {
      if (call.args.length === 0) throw usageFailure(call.command, 'config:unset needs a key')
      return change(call, daemon, without(call.args.map(parseConfigKey)))
    },
  },
  {
    name: 'config:clear',
    usage: 'APP | --global',
    summary: 'Remove all config and restart without it',
    app: true,
    options: { 'no-restart': noRestart, global },
    run: async (call, daemon) => {
      if (call.options.global) {
        await confirmByName(call, '--global', 'This removes the config that all apps share')
      }
      return change(call, daemon, without(Object.keys(configOf(call, daemon))))
    },
  },
  {
    name: 'config:import',
    usage: 'APP | --global',
    summary: 'Set config from an env file or a JSON object on standard input, and restart with it',
    app: true,
    options: { 'no-restart': noRestart, global, encoded: base64 },
    run: async (call, daemon) => {
      const given = parseConfigText(await readStdin(call, limits.configTextBytes))
      const config = call.options.encoded ? mapValues(given, decoded) : given
      if (Object.keys(config).length === 0) {
        throw usageFailure(call.command, 'Standard input holds no config')
      }
      return change(call, daemon, checkValues(config))
    },
  },
]

function configOf(call: Call, daemon: Daemon): Config {
  return call.options.global ? daemon.store.globalConfig() : daemon.store.config(call.app())
}

function ownerOf(call: Call): string {
  return call.options.global ? 'The global config' : call.app().name
}

function without(keys: string[]): ConfigPatch {
  return Object.fromEntries(keys.map((key) => [key, undefined]))
}

async function change(call: Call, daemon: Daemon, patch: ConfigPatch): Promise<Answer> {
  const keys = Object.keys(patch)
  const before = configOf(call, daemon)
  if ([before, ...running(call, daemon)].every((config) => has(config, patch))) {
    return { lines: ['       Nothing changed'], json: { changed: [] } }
  }
  checkValues(patchConfig(before, patch))
  const done = keys.map((key) => `       ${patch[key] === undefined ? 'Unset' : 'Set'} ${key}`)
  if (call.options.global) {
    daemon.store.setGlobalConfig(patchConfig(daemon.store.globalConfig(), patch))
    return {
      lines: [...done, ...sayAffected(daemon, keys)],
      json: { changed: keys },
      event: { kind: 'config', text: `Changed the global ${listed(keys)}` },
    }
  }
  await changeApp(call, daemon, patch)
  return { lines: done, json: { changed: keys } }
}

/** The config that is to have the change at once: that of what runs, unless it may wait. */
function running(call: Call, daemon: Daemon): Config[] {
  if (call.options.global || call.options['no-restart']) return []
  const release = daemon.store.currentRelease(call.app().name)
  return release ? [release.config] : []
}

function has(config: Config, patch: ConfigPatch): boolean {
  const own = new Map(Object.entries(config))
  return Object.entries(patch).every(([key, value]) => own.get(key) === value)
}

async function changeApp(call: Call, daemon: Daemon, patch: ConfigPatch): Promise<void> {
  const app = call.app()
  const keys = Object.keys(patch)
  const by = call.session.identity.name
  const set = () => {
    daemon.store.setConfig(app, patchConfig(daemon.store.config(app), patch))
    const text = `Changed ${listed(keys)} for the next release`
    daemon.store.addEvent(app, { kind: 'config', by, release: null, text })
  }
  if (call.options['no-restart']) await applySetting(daemon, app, call.ask, set)
  else await applyOrSet(daemon, configChange(daemon, app, patch, by), call.ask, set)
  await daemon.triggers.fire('post-config-update', { app: app.name, args: keys }, call.say)
}

/** Nothing restarts by a global change: a bad value would take every app's turn at once. */
function sayAffected(daemon: Daemon, keys: string[]): string[] {
  const apps = daemon.store.apps().filter((app) => {
    const own = daemon.store.config(app)
    return keys.some((key) => !(key in own))
  })
  if (apps.length === 0) return ['       No app is affected']
  return [
    `       The next release of these has it: ${apps.map(({ name }) => name).join(', ')}`,
    '       To give it to one now: ps:restart APP',
  ]
}

function mapValues(config: Config, work: (value: string, key: string) => string): Config {
  return Object.fromEntries(Object.entries(config).map(([key, one]) => [key, work(one, key)]))
}

function parseFormat(call: Call): ConfigFormat {
  const { format = 'env' } = call.options
  if (format === 'env' || format === 'shell' || format === 'json') return format
  throw usageFailure(call.command, '--format wants env, shell or json')
}
