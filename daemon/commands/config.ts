import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { parseConfigKey } from '../../core/names.ts'
import {
  applyChange,
  applySetting,
  configChange,
  type ConfigPatch,
  patchConfig,
} from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import type { Answer, Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'

const noRestart = {
  type: 'boolean',
  help: 'Keep the running processes as they are; the next release has the change',
} as const

export const configCommands: Command[] = [
  {
    name: 'config:show',
    usage: 'APP',
    summary: 'Show all config of an app',
    app: true,
    run: async (call, daemon) => {
      const config = daemon.store.config(call.app())
      const lines = Object.entries(config).map(([key, value]) => `${key}=${shellQuote(value)}`)
      return { lines: lines.sort(), json: config }
    },
  },
  {
    name: 'config:get',
    usage: 'APP KEY',
    summary: 'Print the value of one key, as it is',
    app: true,
    run: async (call, daemon) => {
      const [key] = call.args
      if (key === undefined) throw usageFailure(call.command, 'config:get needs a key')
      const config = daemon.store.config(call.app())
      const value = Object.hasOwn(config, key) ? config[key] : undefined
      if (value === undefined) throw new Failure('failed', `${call.app().name} has no ${key}`)
      return { lines: [value], json: value }
    },
  },
  {
    name: 'config:set',
    usage: 'APP KEY=VALUE [KEY=VALUE ...]',
    summary: 'Set config and restart with it; an unhealthy restart puts the old config back',
    app: true,
    options: { 'no-restart': noRestart },
    run: async (call, daemon) => change(call, daemon, parsePairs(call)),
  },
  {
    name: 'config:unset',
    usage: 'APP KEY [KEY ...]',
    summary: 'Remove config and restart without it',
    app: true,
    options: { 'no-restart': noRestart },
    run: async (call, daemon) => {
      if (call.args.length === 0) throw usageFailure(call.command, 'config:unset needs a key')
      const keys = call.args.map(parseConfigKey)
      return change(call, daemon, Object.fromEntries(keys.map((key) => [key, undefined])))
    },
  },
]

async function change(call: Call, daemon: Daemon, patch: ConfigPatch): Promise<Answer> {
  const app = call.app()
  const keys = Object.keys(patch)
  const before = daemon.store.config(app)
  const has = (key: string) => (Object.hasOwn(before, key) ? before[key] : undefined)
  if (keys.every((key) => has(key) === patch[key])) {
    return { lines: ['       Nothing changed'], json: { changed: [] } }
  }
  if (!daemon.store.currentRelease(app.name) || call.options['no-restart']) {
    await applySetting(daemon, app, call.ask, () => {
      daemon.store.setConfig(app, patchConfig(daemon.store.config(app), patch))
    })
  } else {
    await applyChange(
      daemon,
      configChange(daemon, app, patch, call.session.identity.name),
      call.ask,
    )
  }
  await daemon.triggers.fire('post-config-update', { app: app.name, args: keys }, call.say)
  const done = keys.map((key) => (patch[key] === undefined ? `Unset ${key}` : `Set ${key}`))
  return { lines: done.map((line) => `       ${line}`), json: { changed: keys } }
}

/** Values are any bytes but NUL, and are never echoed, not even in an error. */
function parsePairs(call: Call): Record<string, string> {
  if (call.args.length === 0) throw usageFailure(call.command, 'config:set needs KEY=VALUE')
  const pairs = call.args.map((arg, index) => {
    const at = arg.indexOf('=')
    if (at === -1) throw usageFailure(call.command, `Argument ${index + 1} has no "="`)
    const key = parseConfigKey(arg.slice(0, at))
    const value = arg.slice(at + 1)
    if (value.includes('\0')) throw new Failure('usage', `The value of ${key} holds a NUL byte`)
    if (value.includes('\ufffd')) {
      throw new Failure('usage', `The value of ${key} is not UTF-8 text`, {
        hint: 'Encode it, for example as base64',
      })
    }
    const bytes = Buffer.byteLength(value)
    if (bytes > limits.configValueBytes) {
      throw new Failure(
        'usage',
        `The value of ${key} has ${bytes} bytes; the most is ${limits.configValueBytes}`,
      )
    }
    return [key, value] as const
  })
  return Object.fromEntries(pairs)
}

/** Quoted so that a shell reads the same value back. */
function shellQuote(value: string): string {
  return /^[\w.,:/@%+-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`
}
