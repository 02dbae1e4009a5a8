import { accessSync, constants, type Dirent, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { errno } from '../core/errors.ts'
import { byText } from '../core/names.ts'
import { isTriggerName, type TriggerName } from './names.ts'

/** A plugin as it lies on disk. `problem` is why it cannot run, whatever its switch says. */
export type Plugin = {
  name: string
  version: string
  description: string
  dir: string
  state: 'enabled' | 'disabled' | 'unusable'
  problem: string | null
  triggers: TriggerName[]
  /** Of its own, each called `<plugin>:<name>`. */
  commands: PluginCommand[]
}

export type PluginCommand = { name: string; usage: string; summary: string }

/** Plugins that come with paas, beside this file. */
export const bundledPlugins = import.meta.dirname

const apiSpoken = 1

/**
 * Reads every folder with a `plugin.toml` below `dirs`, in order of name; one of the same name in a
 * later directory replaces the earlier. `switches` are the user's choices; without one, a plugin
 * is on unless its `enabled` says false. A bad one is listed with its problem, never run.
 */
export function loadPlugins(dirs: string[], switches: ReadonlyMap<string, boolean>): Plugin[] {
  const found = new Map<string, Plugin>()
  for (const dir of dirs) {
    for (const name of folders(dir)) {
      const plugin = loadPlugin(join(dir, name), name, switches)
      if (plugin) found.set(name, plugin)
    }
  }
  return [...found.values()].sort((a, b) => byText(a.name, b.name))
}

/** Another text whenever a plugin in `dir` has come, gone or changed; cheap to ask each time. */
export function stampOf(dir: string): string {
  const inside = folders(dir).flatMap((name) => {
    const plugin = join(dir, name)
    return [plugin, ...entriesOf(plugin).map((entry) => join(plugin, entry.name))]
  })
  const changes = inside.map((path) => {
    return `${path} ${statSync(path, { throwIfNoEntry: false })?.ctimeMs}`
  })
  return changes.join('\n')
}

function loadPlugin(
  dir: string,
  name: string,
  switches: ReadonlyMap<string, boolean>,
): Plugin | undefined {
  const plugin: Plugin = {
    name,
    version: '-',
    description: '',
    dir,
    state: 'unusable',
    problem: null,
    triggers: scripts(dir),
    commands: [],
  }
  try {
    const facts = parse(readFileSync(join(dir, 'plugin.toml'), 'utf8'))
    const { version, description, api, enabled } = facts
    const on = switches.get(name) ?? enabled !== false
    const problem = problemOf(name, facts.name, api)
    const commands = plugin.triggers.includes('commands') ? commandsOf(facts.commands) : []
    return {
      ...plugin,
      version: typeof version === 'string' ? version : '-',
      description: typeof description === 'string' ? description : '',
      problem,
      commands,
      state: problem ? 'unusable' : on ? 'enabled' : 'disabled',
    }
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    return { ...plugin, problem: `plugin.toml cannot be read: ${why}` }
  }
}

/** Throws for what is no table of commands. */
function commandsOf(value: unknown): PluginCommand[] {
  if (value === undefined) return []
  return Object.entries(table(value, 'commands')).map(([name, facts]) => {
    if (!/^[a-z][a-z0-9-]{0,39}$/.test(name)) throw new Error(`"${name}" is not a command name`)
    const { usage = '', summary = '' } = table(facts, `commands.${name}`)
    if (typeof usage !== 'string' || typeof summary !== 'string') {
      throw new Error(`usage and summary of commands.${name} are texts`)
    }
    return { name, usage, summary }
  })
}

function table(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new Error(`[${name}] is not a table`)
}

function problemOf(folder: string, name: unknown, api: unknown): string | null {
  if (!/^[a-z][a-z0-9-]{0,39}$/.test(folder)) return `"${folder}" is not a plugin name`
  if (name !== folder) return `plugin.toml calls it "${String(name)}", its folder "${folder}"`
  if (api !== apiSpoken)
    return `it is written for api ${String(api)}; this paas speaks ${apiSpoken}`
  return null
}

function scripts(dir: string): TriggerName[] {
  return entriesOf(dir)
    .map(({ name }) => name)
    .filter(isTriggerName)
    .filter((name) => isExecutable(join(dir, name)))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function folders(dir: string): string[] {
  return entriesOf(dir)
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}

function entriesOf(dir: string): Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}
