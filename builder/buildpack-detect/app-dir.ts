import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import type { LanguagePlan, Step, StepInputs } from './plan.ts'

/** A folder of a tree as if it were the tree. Links may still lead elsewhere in the whole tree. */
export function inFolder(source: Source, folder: string): Source {
  if (folder === '') return source
  if (!source.isDirectory(folder)) {
    throw new Failure('failed', `There is no folder "${folder}" (app_dir in paas.toml, or git:set)`)
  }
  const at = (path: string) => `${folder}/${path}`
  return {
    readText: (path, maxBytes) => source.readText(at(path), maxBytes),
    read: (path) => source.read(at(path)),
    isFile: (path) => source.isFile(at(path)),
    isDirectory: (path) => source.isDirectory(at(path)),
    list: (path = '') => source.list(at(path)),
  }
}

/** A plan for a folder, as a plan for the whole tree: its steps start in the folder. */
export function movedTo(folder: string, plan: LanguagePlan): LanguagePlan {
  if (folder === '') return plan
  const web = plan.web && { ...plan.web, command: commandIn(folder, plan.web.command) }
  if (plan.ofRepository) return { ...plan, web }
  return {
    ...plan,
    steps: plan.steps.map((step) => movedStep(folder, step)),
    env: Object.fromEntries(
      Object.entries(plan.env).map(([key, value]) => [key, movedPaths(folder, value)]),
    ),
    ...(plan.release && {
      release: { ...plan.release, file: `${folder}/${plan.release.file}` },
    }),
    web,
  }
}

/** `exec` where the command is plain, so that signals reach it and no shell. */
export function commandIn(folder: string, command: string): string {
  if (folder === '') return command
  const plain =
    /^[\w./@-]+(\s[^;&|<>()`\n\\]*)?$/.test(command) && !/^(cd|exec|set|\.)\s/.test(command)
  return `cd ${folder} && ${plain ? 'exec ' : ''}${command}`
}

function movedStep(folder: string, step: Step): Step {
  return {
    ...step,
    argv: ['sh', '-c', 'cd -- "$0" && exec "$@"', folder, ...step.argv],
    env: Object.fromEntries(
      Object.entries(step.env).map(([key, value]) => [key, movedPaths(folder, value)]),
    ),
    inputs: movedInputs(folder, step.inputs),
    drop: step.drop.map((path) => `${folder}/${path}`),
  }
}

function movedInputs(folder: string, inputs: StepInputs): StepInputs {
  const write = Object.entries(inputs.write ?? {}).map(([path, text]) => [
    `${folder}/${path}`,
    text,
  ])
  const moved = write.length > 0 ? { write: Object.fromEntries(write) } : {}
  if (inputs.kind === 'tree') return { kind: 'tree', why: inputs.why, ...moved }
  const copy = inputs.copy.map((path) => `${folder}/${path}`)
  return { kind: 'files', why: inputs.why, copy, ...moved }
}

/** `/app/.venv/bin:/usr/bin` has a path of the app's in it. */
function movedPaths(folder: string, value: string): string {
  return value.replace(/(^|:)\/app(?=\/|:|$)/g, `$1/app/${folder}`)
}
