import { readFile, stat } from 'node:fs/promises'
import semver from 'semver'
import type { PaasConfig } from '../../core/config.ts'
import { errno, Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Say } from '../../core/types.ts'
import { replaceFile } from '../../core/whole-file.ts'
import type { ToolRequest } from '../buildpack-detect/plan.ts'

/** A version that was chosen, why (the words a person reads), and what to warn of. */
export type Choice = { version: string; why: string; warnings: string[] }

export type ChoiceRules = {
  /** Every version that can be had. */
  available: string[]
  /** Whether a major version may be taken when nobody asks for one. */
  isStable: (major: number) => boolean
  /** What is taken when nobody asks for a version; the newest stable one unless given. */
  preferred?: { version: string; why: string }
}

const ageMaxMs = 24 * 3600_000
const viewTimeoutMs = 20_000

/**
 * Picks the version a request means: the newest of the pin when it satisfies the constraint; else
 * the newest that satisfies the constraint; without both the newest stable one. Undefined when none
 * does.
 */
export function chooseVersion(request: ToolRequest, rules: ChoiceRules): Choice | undefined {
  const { constraint, pin } = request
  if (!constraint && !pin) {
    if (rules.preferred) return { ...rules.preferred, warnings: [] }
    const stable = rules.available.filter((version) => rules.isStable(semver.major(version)))
    const version = newestOf(stable, ['*'])
    return version ? { version, why: 'the default: newest LTS', warnings: [] } : undefined
  }
  const pinned = pin && newestOf(rules.available, both(pin.range, constraint?.range))
  if (pin && pinned) return { version: pinned, why: `${pin.from} "${pin.text}"`, warnings: [] }
  if (!constraint) return undefined
  const version = newestOf(rules.available, [constraint.range])
  if (!version) return undefined
  const why = `${quoted(constraint)}`
  const conflict = `${pin && quoted(pin)} does not satisfy ${why}, which decides`
  return { version, why, warnings: pin ? [conflict] : [] }
}

/** The sentence for when nothing satisfies: the range, its file, and what there is. */
export function noVersion(name: string, request: ToolRequest, available: string[]): Failure {
  const asked = [request.constraint, request.pin].filter((text) => text !== undefined)
  const majors = [...new Set(available.map((version) => semver.major(version)))]
  const newestOfMajor = majors.map((major) => semver.maxSatisfying(available, `${major}.x`))
  const shown = available.length <= 5 ? available : newestOfMajor
  const seen = asked.map(quoted).join(' and ')
  return new Failure('failed', `No ${name} version satisfies ${seen}`, {
    hint: `Available: ${shown.join(', ') || 'none'}\nTo choose: ${request.choose}`,
  })
}

/**
 * The published versions of an npm package, from the host's cache when it is younger than a day or
 * the registry does not answer (`say` is told). `fresh` asks the registry whatever the age.
 */
export async function publishedVersions(
  config: PaasConfig,
  name: string,
  options: { say: Say; signal: AbortSignal; fresh?: boolean },
): Promise<string[]> {
  const file = paths(config).versions(name)
  const known = await readKnown(file, parseVersions)
  if (known && known.ageMs < ageMaxMs && !options.fresh) return known.value
  try {
    const versions = await askRegistry(name, options.signal)
    await replaceFile(file, JSON.stringify(versions))
    return versions
  } catch (cause) {
    if (options.signal.aborted || !known) throw cause
    options.say(`       The npm registry did not answer: choosing among the versions known before`)
    return known.value
  }
}

function quoted({ text, from }: { text: string; from: string }): string {
  return `${from.replace(/ in .*/, '')} "${text}"${/ in .*/.exec(from)?.[0] ?? ''}`
}

function both(range: string, other: string | undefined): string[] {
  return other === undefined ? [range] : [range, other]
}

function newestOf(versions: string[], ranges: string[]): string | undefined {
  const fitting = versions.filter((version) => {
    return ranges.every((range) => semver.satisfies(version, range))
  })
  return semver.sort(fitting).at(-1)
}

async function askRegistry(name: string, signal: AbortSignal): Promise<string[]> {
  const args = ['view', '--json', '--', name, 'versions']
  const { stdout } = await exec('npm', args, { signal, timeoutMs: viewTimeoutMs })
  return parseVersions(stdout)
}

/** What a host keeps of a list. Undefined when there is none, or what is there is none. */
export async function readKnown<T>(
  file: string,
  parse: (text: string) => T,
): Promise<{ value: T; ageMs: number } | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(file, 'utf8'), stat(file)])
    return { value: parse(text), ageMs: Date.now() - mtimeMs }
  } catch (error) {
    if (errno(error) === 'ENOENT' || error instanceof Failure) return undefined
    throw error
  }
}

function parseVersions(text: string): string[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  const list = Array.isArray(value) ? value : [value]
  const versions = list.filter((entry) => typeof entry === 'string' && semver.valid(entry))
  if (versions.length > 0) return versions
  throw new Failure('temporary', 'The npm registry did not list versions', {
    hint: 'Check that "npm view npm version" works on the server, then push again',
  })
}
