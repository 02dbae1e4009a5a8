import packageJson from '../../package.json' with { type: 'json' }
import { hostFacts } from '../../runner/facts.ts'
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
    run: async (_call, daemon) => {
      const facts = await hostFacts(daemon.config)
      const lines = facts.flatMap(({ name, ok, detail, hint }) => [
        ok ? `       ${name}: ${detail}` : ` !     ${name}: ${detail}`,
        ...(hint ? [`         ${hint}`] : []),
      ])
      return { lines, json: facts }
    },
  },
]
