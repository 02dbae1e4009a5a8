import { builderNames } from '../../builder/buildpack-detect/detect.ts'
import { Failure } from '../../core/errors.ts'
import type { App } from '../../core/types.ts'
import { printable } from '../../core/names.ts'
import type { Daemon } from '../daemon.ts'
import { refuseLocked } from '../apps/locks.ts'
import type { Answer, Command } from './command.ts'

export const builderCommands: Command[] = [
  {
    name: 'builder:set',
    usage: 'APP [NAME]',
    summary: 'Choose how an app is built from the next push on; without NAME, let the code say',
    app: true,
    run: async (call, daemon) => {
      const [name] = call.args
      const known = builderNames()
      if (name !== undefined && !known.includes(name)) {
        throw new Failure('usage', `"${printable(name)}" is no builder`, {
          hint: `Use one of: ${known.join(', ')}`,
        })
      }
      refuseLocked(daemon.store, call.app().name)
      daemon.store.setBuilder(call.app(), name ?? null)
      const text = name === undefined ? 'Let the code choose the builder' : `Chose builder ${name}`
      const answer = report(daemon, { ...call.app(), builder: name ?? null })
      return { ...answer, event: { kind: 'builder', text } }
    },
  },
  {
    name: 'builder:report',
    usage: 'APP',
    summary: 'Show how an app is built, and who says so',
    app: true,
    run: async (call, daemon) => report(daemon, call.app()),
  },
]

function report(daemon: Daemon, app: App): Answer {
  const { BUILDER, BUILDPACK_URL } = daemon.store.effectiveConfig(app)
  const sayers: [builder: string | null | undefined, by: string][] = [
    [app.builder, 'builder:set'],
    [BUILDER, 'the config key BUILDER'],
    [daemon.store.buildpacks(app).length > 0 ? 'buildpacks' : null, 'buildpacks:set'],
    [BUILDPACK_URL ? 'buildpacks' : null, 'the config key BUILDPACK_URL'],
  ]
  const [builder = null, by] = sayers.find(([said]) => said) ?? [null, 'the code']
  return {
    lines: [`builder: ${builder ?? 'as paas.toml or the files say'} (${by})`],
    json: { builder, setBy: by },
  }
}
