import { builderNames } from '../../builder/buildpack-detect/detect.ts'
import { parseBaseName } from '../../builder/image/own-name.ts'
import { Failure } from '../../core/errors.ts'
import type { App } from '../../core/types.ts'
import { printable } from '../../core/names.ts'
import type { Daemon } from '../daemon.ts'
import { must } from '../store/rows.ts'
import type { Answer, Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'

export const builderCommands: Command[] = [
  {
    name: 'builder:set',
    usage: 'APP [NAME | base [IMAGE]]',
    summary:
      'Choose how an app is built from the next push on, and on which image in place of the stack; without NAME or IMAGE, let the code say',
    app: true,
    changes: true,
    run: async (call, daemon) => {
      const [name, value] = call.args
      const change = name === 'base' ? toBase(value) : toBuilder(call, name, value)
      const text = change(daemon, call.app())
      return { ...report(daemon, call.app().name), event: { kind: 'builder', text } }
    },
  },
  {
    name: 'builder:report',
    usage: 'APP',
    summary: 'Show how an app is built, and who says so',
    app: true,
    run: async (call, daemon) => report(daemon, call.app().name),
  },
]

/** Says what it has changed. */
type Setting = (daemon: Daemon, app: App) => string

function toBuilder(call: Call, name: string | undefined, more: string | undefined): Setting {
  const known = builderNames()
  if (name !== undefined && !known.includes(name)) {
    throw new Failure('usage', `"${printable(name)}" is no builder`, {
      hint: `Use one of: ${known.join(', ')}; or base, and the name of an image`,
    })
  }
  if (more !== undefined) {
    throw usageFailure(call.command, `"${printable(more)}" is one argument too many`)
  }
  return ({ store }, app) => {
    store.setBuilder(app, name ?? null)
    return name === undefined ? 'Let the code choose the builder' : `Chose builder ${name}`
  }
}

function toBase(name: string | undefined): Setting {
  if (name !== undefined) parseBaseName(name)
  return ({ store }, app) => {
    store.setBase(app, name ?? null)
    return name === undefined ? 'Let the code choose the base' : `Chose base ${name}`
  }
}

function report(daemon: Daemon, name: string): Answer {
  const app = must(daemon.store.findApp(name))
  const { base } = daemon.store.codeSettings(app)
  const { builder, by } = chosenBuilder(daemon, app)
  return {
    lines: [
      `builder: ${builder ?? 'as paas.toml or the files say'} (${by})`,
      base === null ? 'base: the stack, or as paas.toml says' : `base: ${base} (builder:set)`,
    ],
    json: { builder, setBy: by, base },
  }
}

/** How an app is built and who says so, of all that is set outside its code. */
export function chosenBuilder({ store }: Daemon, app: App): { builder: string | null; by: string } {
  const { BUILDER, BUILDPACK_URL } = store.effectiveConfig(app)
  const sayers: [builder: string | null | undefined, by: string][] = [
    [app.builder, 'builder:set'],
    [BUILDER, 'the config key BUILDER'],
    [store.buildpacks(app).length > 0 ? 'buildpacks' : null, 'buildpacks:set'],
    [BUILDPACK_URL ? 'buildpacks' : null, 'the config key BUILDPACK_URL'],
  ]
  const [builder = null, by] = sayers.find(([said]) => said) ?? [null, 'the code']
  return { builder, by }
}
