import type { Source } from '../source/source.ts'
import { type Detector, type LanguagePlan, systemPath } from './plan.ts'

/** A shell script that starts the app. It runs on the stack alone and what `apt` adds to it. */
export const shell: Detector = {
  language: 'Shell',
  looksFor: 'start.sh',
  detect: (source) => (source.isFile('start.sh') ? 'start.sh' : undefined),
  plan: (source) => ({ ...nothing, web: { command: startOf(source), from: 'start.sh' } }),
}

/** The last of the table: programs that are in the tree as they are, started by a Procfile. */
export const procfileOnly: Detector = {
  language: 'Procfile',
  looksFor: 'Procfile',
  detect: (source) => (source.isFile('Procfile') ? 'Procfile' : undefined),
  plan: () => nothing,
}

const nothing: LanguagePlan = {
  tools: [],
  steps: [],
  env: { PATH: `/app/bin:${systemPath}` },
  warnings: [],
  web: undefined,
  howToStart: 'Add a Procfile with: web: your command',
}

/** Without `#!` the kernel would not run it, and without its permission nobody could. */
function startOf(source: Source): string {
  const file = source.read('start.sh')
  const runs = file?.executable && file.bytes.subarray(0, 2).toString('latin1') === '#!'
  return runs ? './start.sh' : 'sh start.sh'
}
