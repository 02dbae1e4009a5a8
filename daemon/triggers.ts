import type { PaasConfig } from '../core/config.ts'
import { paths } from '../core/names.ts'
import type { Release, Say } from '../core/types.ts'
import { bundledPlugins, loadPlugins, type Plugin, stampOf } from '../plugins/load.ts'
import type { TriggerName } from '../plugins/names.ts'
import { listens, runCommand, trigger } from '../plugins/trigger.ts'
import { appUrls } from './apps/hosts.ts'
import { masked } from './mask.ts'
import type { Store } from './store/store.ts'

/** What a trigger is about. The app's config goes along, for plugins that are set by it. */
export type TriggerFacts = {
  app?: string
  user?: string
  args?: string[]
  release?: Release
  commit?: string
  /** Directory the script starts in: the source tree, where there is one. */
  cwd?: string
  error?: string
}

export type Triggers = ReturnType<typeof openTriggers>

/** The plugins' scripts, as the daemon fires them: facts become arguments, variables and JSON. */
export function openTriggers(config: PaasConfig, store: Store) {
  const plugins = openPlugins(paths(config).plugins, store)

  /** What a script is told, and where what it says goes. */
  function prepare(name: TriggerName, facts: TriggerFacts, say: Say, signal?: AbortSignal) {
    const app = facts.app === undefined ? undefined : store.findApp(facts.app)
    const known = app ? store.effectiveConfig(app) : store.globalConfig()
    const urls = app ? appUrls(config, store, app) : []
    const release = facts.release && `v${facts.release.version}`
    const commit = facts.commit ?? facts.release?.commit ?? undefined
    const vars = {
      PAAS_APP: facts.app,
      PAAS_USER: facts.user,
      PAAS_URL: urls[0],
      PAAS_RELEASE: release,
      PAAS_COMMIT: commit,
      PAAS_ERROR: facts.error,
      PAAS_TURN: facts.app, // a `paas` call from the script must not wait for the act it is part of
    }
    const json = {
      app: facts.app ?? null,
      user: facts.user ?? null,
      urls,
      release: release ?? null,
      commit: commit ?? null,
      args: facts.args ?? [],
      error: facts.error ?? null,
      config: known,
    }
    const { timeoutMs, cwd } = { timeoutMs: config.triggerTimeoutMs, cwd: facts.cwd }
    return {
      event: { name, args: facts.args ?? [], vars: defined(vars), json },
      context: { say: masked(known, say), signal, timeoutMs, cwd },
    }
  }

  /** Throws a Failure when a plugin stops the act; costs a look-up where nobody listens. */
  async function fire(
    name: TriggerName,
    facts: TriggerFacts,
    say: Say,
    signal?: AbortSignal,
  ): Promise<void> {
    const all = plugins.now()
    if (!listens(all, name)) return
    const { event, context } = prepare(name, facts, say, signal)
    await trigger(all, event, context)
  }

  return {
    fire,
    /** Runs a plugin's own command; returns its exit status. */
    call(plugin: Plugin, facts: TriggerFacts, say: Say, signal: AbortSignal): Promise<number> {
      const { event, context } = prepare('commands', facts, say, signal)
      return runCommand(plugin, event, context)
    },
    /** Every command that plugins which are on have of their own. */
    commands: () =>
      plugins
        .now()
        .filter(({ state }) => state === 'enabled')
        .flatMap((plugin) => plugin.commands.map((command) => ({ plugin, command }))),
    /** Whether anybody would hear it. */
    listens: (name: TriggerName) => listens(plugins.now(), name),
    /** All of them, switched as they are now. */
    list: () => plugins.load(),
  }
}

/** The plugins there are: those that come with paas, and those of `own`. */
function openPlugins(own: string, store: Store) {
  let seen: string | undefined
  let loaded: Plugin[] = []
  const load = () => (loaded = loadPlugins([bundledPlugins, own], store.pluginSwitches()))
  return {
    load,
    /** Whenever they were put there or changed. */
    now(): Plugin[] {
      const stamp = stampOf(own)
      if (stamp !== seen) load()
      seen = stamp
      return loaded
    },
  }
}

function defined(vars: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(vars).filter((pair): pair is [string, string] => pair[1] !== undefined),
  )
}
