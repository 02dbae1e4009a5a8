import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'

/** The parts of a package.json that paas reads, checked. */
export type PackageJson = {
  scripts: Record<string, string>
  engines: Record<string, string>
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  optionalDependencies: Record<string, string>
  name: string | undefined
  packageManager: string | undefined
  /** Versions that Volta was told, by tool. */
  volta: Record<string, string>
  /** Globs of the folders that hold workspaces; none without workspaces. */
  workspaces: string[]
  hasWorkspaces: boolean
  /** As written, for what is handed on to npm. */
  raw: Record<string, unknown>
}

/**
 * Reads package.json at the root of a tree. Throws a Failure that says where it is wrong; `name` is
 * what that calls it.
 */
export function readPackageJson(source: Source, name = 'package.json'): PackageJson {
  const raw = parse(source.readText('package.json') ?? '', name)
  return {
    scripts: strings(raw, 'scripts'),
    engines: strings(raw, 'engines'),
    dependencies: strings(raw, 'dependencies'),
    devDependencies: strings(raw, 'devDependencies'),
    optionalDependencies: strings(raw, 'optionalDependencies'),
    name: typeof raw.name === 'string' ? raw.name : undefined,
    packageManager: packageManagerOf(raw),
    volta: isRecord(raw.volta) ? textsOf(raw.volta) : {},
    workspaces: workspacesOf(raw.workspaces),
    hasWorkspaces: raw.workspaces !== undefined,
    raw,
  }
}

/**
 * What decides an install, and nothing else: editing a script or a version installs nothing anew.
 */
export function reducedManifest(raw: Record<string, unknown>): Record<string, unknown> {
  const deciding = [
    'allowScripts',
    'bin',
    'bundleDependencies',
    'bundledDependencies',
    'cpu',
    'catalog',
    'catalogs',
    'dependencies',
    'dependenciesMeta',
    'devDependencies',
    'engines',
    'installConfig',
    'libc',
    'name',
    'optionalDependencies',
    'os',
    'overrides',
    'peerDependencies',
    'peerDependenciesMeta',
    'pnpm',
    'prisma',
    'puppeteer',
    'resolutions',
    'trustedDependencies',
    'workspaces',
  ]
  return Object.fromEntries(deciding.filter((key) => key in raw).map((key) => [key, raw[key]]))
}

/** `packageManager`, or what the newer `devEngines` says in its place. */
function packageManagerOf(raw: Record<string, unknown>): string | undefined {
  if (typeof raw.packageManager === 'string') return raw.packageManager
  const dev = isRecord(raw.devEngines) ? raw.devEngines.packageManager : undefined
  const first: unknown = Array.isArray(dev) ? dev[0] : dev
  if (!isRecord(first) || typeof first.name !== 'string') return undefined
  // npm comes with Node: a rule of development alone asks for no other.
  if (first.name === 'npm') return 'npm'
  return typeof first.version === 'string' ? `${first.name}@${first.version}` : first.name
}

function workspacesOf(value: unknown): string[] {
  const list = isRecord(value) ? value.packages : value
  return Array.isArray(list) ? list.filter((entry) => typeof entry === 'string') : []
}

function textsOf(record: Record<string, unknown>): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [key, value] of Object.entries(record)) {
    if (typeof value === 'string') texts[key] = value
  }
  return texts
}

function parse(text: string, name: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    const seen = cause instanceof Error ? cause.message : String(cause)
    throw new Failure('failed', `${name} is not valid JSON: ${oneLine(seen)}`, {
      hint: `Mend ${name}, commit and push again`,
      cause,
    })
  }
  if (isRecord(value)) return value
  throw new Failure('failed', `${name} holds ${kindOf(value)}: expected an object`, {
    hint: `Write at least {} in ${name}`,
  })
}

function strings(raw: Record<string, unknown>, key: string): Record<string, string> {
  const value = raw[key]
  if (value === undefined || value === null) return {}
  if (!isRecord(value)) throw wrongPart(key, kindOf(value), 'an object of strings')
  const result: Record<string, string> = {}
  for (const [name, entry] of Object.entries(value)) {
    if (typeof entry !== 'string') throw wrongPart(`${key}.${name}`, kindOf(entry), 'a string')
    result[name] = entry
  }
  return result
}

function wrongPart(part: string, seen: string, want: string): Failure {
  return new Failure('failed', `${part} in package.json is ${seen}: expected ${want}`)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The parser quotes the text it stumbled over, line breaks and all. */
function oneLine(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]+/g, ' ')
}
