import { systemPath } from '../buildpack-detect/plan.ts'
import type { Plan } from '../buildpack-detect/plan.ts'
import type { ChosenTool } from '../runtimes/tools.ts'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Base } from './base.ts'

/** What a plan and a base must have of each other. Pure. */

/**
 * Environment of a process or a step on a base: the base's own below the plan's. Programs are
 * looked for where the plan says, where paas puts its runtimes, where the base says, and where all
 * are.
 */
export function envOnBase(base: Base, env: Record<string, string>): Record<string, string> {
  // Whose home it is and where it listens is not for a base to say: both are the app's.
  const { HOME: _home, PORT: _port, PATH = '', ...own } = base.env
  const system = systemPath.split(':')
  const first = (env.PATH ?? '').split(':').filter((dir) => !system.includes(dir))
  const ours = system.filter((dir) => dir.startsWith('/usr/local/'))
  const dirs = [...first, ...ours, ...PATH.split(':'), ...system].filter((dir) => dir !== '')
  return { ...own, ...env, PATH: [...new Set(dirs)].join(':') }
}

/** Nothing of Debian is installed onto a base: it has what the app wants, or is the wrong one. */
export function refuseUnfit(base: Base, plan: Plan, tools: ChosenTool[]): void {
  const layered = tools.find(({ layer }) => layer?.kind === 'runtime')
  if (layered && !base.has.glibc) {
    throw new Failure('failed', `${shown(base)} has no glibc, which ${layered.label} needs`, {
      hint: wayOut('Take a base of Debian, Ubuntu, Fedora or the like'),
    })
  }
  const used = plan.steps.length > 0 ? (['run', 'build'] as const) : (['run'] as const)
  const wanted = [...tools.map(({ packages }) => packages), plan.apt]
  const names = [...used.flatMap((use) => wanted.flatMap((one) => one[use])), ...plan.userApt]
  const there = new Set(base.packages.map(({ name }) => name))
  const missing = [...new Set(names)].filter((name) => !there.has(name))
  if (missing.length === 0) return
  throw missingIn(base, missing.join(', '))
}

/** What is looked for among the Debian packages of a base and is not there. */
export function missingIn(base: Base, what: string): Failure {
  return new Failure('failed', `${shown(base)} does not have ${what}`, {
    hint: wayOut('Have it in the base: RUN apt-get install …'),
  })
}

function shown({ name, from }: Base): string {
  return `The base ${printable(name)} (${from})`
}

function wayOut(first: string): string {
  return `${first}\nOr write a Dockerfile, or take the stack again: builder:set <app> base stack`
}
