import packageJson from '../../package.json' with { type: 'json' }
import { Failure } from '../../core/errors.ts'
import { type Fact, hostFacts } from '../../runner/facts.ts'
import type { Command } from './command.ts'

export const hostCommands: Command[] = [
  {
    name: 'version',
    usage: '',
    summary: 'Print the version of paas',
    app: false,
    run: async () => ({
      lines: [`paas ${packageJson.version}`],
      json: { version: packageJson.version, node: process.versions.node },
    }),
  },
  {
    name: 'doctor',
    usage: '',
    summary: 'Check what this host offers: what is missing, too old or weaker than it could be',
    app: false,
    run: async (call, daemon) => {
      const facts = await hostFacts(daemon.config)
      const { good = [], bad = [] } = Object.groupBy(facts, ({ ok }) => (ok ? 'good' : 'bad'))
      const warnings = call.json ? [] : bad.flatMap((fact) => linesOf(fact, ' !     '))
      for (const line of warnings) call.say(line)
      return { lines: good.flatMap((fact) => linesOf(fact, '       ')), json: facts }
    },
  },
  {
    name: 'plan',
    usage: '[DIR] [--builder NAME]',
    summary: 'Print how a folder of this host would be built; there alone, and without a daemon',
    app: false,
    run: async () => {
      throw new Failure('usage', 'plan reads a folder of the host that it is called on', {
        hint: 'There: paas plan DIR. Of an app that was pushed: builds:plan APP',
      })
    },
  },
]

function linesOf({ name, detail, hint }: Fact, mark: string): string[] {
  return [`${mark}${name}: ${detail}`, ...(hint ? [`${mark}  ${hint}`] : [])]
}
