import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { PackageJson } from './package-json.ts'
import type { ToolRequest, VersionText } from './plan.ts'

export type ManagerName = 'npm' | 'pnpm' | 'yarn' | 'bun'

/** Who installs a tree's packages. */
export type NodeManager = {
  name: ManagerName
  /** Yarn since 2, which is another program. */
  berry: boolean
  /** Yarn's Plug'n'Play: no node_modules, and Node must be started by Yarn. */
  pnp: boolean
  lockfile: string | undefined
  /** Undefined for npm as it came with Node. */
  tool: ToolRequest | undefined
  /** The lowest major version that it can be, as far as the tree tells; 0 for unknown. */
  major: number
  warnings: string[]
}

/** The lockfiles in order: the first that is there decides, and a warning names the others. */
const lockfiles: [file: string, manager: ManagerName][] = [
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['npm-shrinkwrap.json', 'npm'],
  ['package-lock.json', 'npm'],
]

/** Whether a tree has a lockfile of any manager. */
export function hasLockfile(source: Source): boolean {
  return lockfiles.some(([file]) => source.isFile(file))
}

/** The lockfile that a manager writes by itself. */
export const usualLockfile: Record<ManagerName, string> = {
  npm: 'package-lock.json',
  pnpm: 'pnpm-lock.yaml',
  yarn: 'yarn.lock',
  bun: 'bun.lock',
}

/** `packageManager` decides; without it the lockfile; without one it is npm. */
export function findNodeManager(root: Source, packageJson: PackageJson): NodeManager {
  const asked = parseAsked(packageJson.packageManager)
  const present = lockfiles.filter(([file]) => root.isFile(file))
  const [lockfile, name] = present.find(([, manager]) => !asked || manager === asked.name) ?? []
  const manager = asked?.name ?? name ?? (hasPnpmFile(root) ? 'pnpm' : 'npm')
  const line = lineOf(root, manager, lockfile, asked)
  const tool =
    manager === 'npm' && !asked?.version
      ? undefined
      : request(packageJson, { manager, line, asked, root })
  return {
    name: manager,
    berry: line.berry,
    pnp: line.berry && nodeLinker(root) === 'pnp',
    lockfile,
    tool,
    major: majorOf(tool, line),
    warnings: warningsOf(
      present.map(([file]) => file),
      { lockfile, manager, asked },
    ),
  }
}

/** A pnpm workspace whose lockfile is not in git. */
function hasPnpmFile(root: Source): boolean {
  return root.isFile('pnpm-workspace.yaml')
}

type Asked = { name: ManagerName; version: VersionText | undefined }

function parseAsked(text: string | undefined): Asked | undefined {
  if (text === undefined) return undefined
  const from = 'packageManager in package.json'
  const [, name = '', version] = /^([a-z]+)(?:@(.+))?$/.exec(text.trim()) ?? []
  const known = (['npm', 'pnpm', 'yarn', 'bun'] as const).find((one) => one === name)
  const range = version === undefined ? '*' : semver.validRange(version.replace(/^v/, ''))
  const hash = version?.split('+')[1]
  if (!known || !range || (hash && !/^sha(1|224|256|384|512)\.[0-9a-f]+$/.test(hash))) {
    throw new Failure('failed', `${from} says "${printable(text)}": not a package manager`, {
      hint: 'Use npm, pnpm, yarn or bun with a version, such as "pnpm@10.34.9"',
    })
  }
  return {
    name: known,
    version: version === undefined ? undefined : { text: version, range, from },
  }
}

/** What a lockfile can be read by, and by what it was most likely written. */
type Line = { berry: boolean; range: string; usual: string; from: string }

function lineOf(
  root: Source,
  manager: ManagerName,
  lockfile: string | undefined,
  asked: Asked | undefined,
): Line {
  const any = { berry: false, range: '*', usual: '*', from: '' }
  if (manager === 'pnpm') return { ...any, ...pnpmLine(root, lockfile) }
  if (manager !== 'yarn') return any
  const text = lockfile ? (root.readText(lockfile) ?? '') : ''
  const format = Number(/^__metadata:\s+version: (\d+)/m.exec(text)?.[1] ?? Number.NaN)
  const major = asked?.version && semver.minVersion(asked.version.range)?.major
  const berry = format > 0 || (major ?? 1) >= 2 || (text === '' && root.isFile('.yarnrc.yml'))
  if (!berry) return { berry, range: '<2', usual: '1.x', from: lockfile ?? 'the default' }
  const usual = format <= 4 ? '2.x' : format <= 6 ? '3.x' : '4.x'
  return { berry, range: '>=2', usual, from: Number.isNaN(format) ? '.yarnrc.yml' : 'yarn.lock' }
}

function pnpmLine(root: Source, lockfile: string | undefined): Omit<Line, 'berry'> {
  const text = lockfile ? (root.readText(lockfile) ?? '') : ''
  const format = /^lockfileVersion:\s*'?"?(\d+)/m.exec(text)?.[1]
  const from = `lockfileVersion in ${lockfile}`
  if (format === '5') return { range: '<8', usual: '7.x', from }
  if (format === '6') return { range: '8.x', usual: '8.x', from }
  if (format === '9') return { range: '>=9', usual: '10.x', from }
  return { range: '*', usual: '*', from: 'the newest' }
}

/** `engines` is a rule; packageManager, Volta or Yarn's own file the wish; else what is usual. */
function request(
  packageJson: PackageJson,
  o: { manager: ManagerName; line: Line; asked: Asked | undefined; root: Source },
): ToolRequest {
  const { manager, line, asked, root } = o
  const engines = manager === 'npm' ? undefined : packageJson.engines[manager]
  const volta = packageJson.volta[manager]
  const pin =
    asked?.version ??
    (volta === undefined ? undefined : versionOf(volta, `volta.${manager} in package.json`)) ??
    yarnFile(root, manager) ??
    (line.usual === '*' ? undefined : { text: line.usual, range: line.usual, from: line.from })
  return {
    tool: manager,
    constraint:
      engines === undefined
        ? undefined
        : within(versionOf(engines, `engines.${manager} in package.json`), line.range),
    pin,
    choose: `"packageManager": "${manager}@<version>" in package.json`,
    inImage: true,
  }
}

function versionOf(text: string, from: string): VersionText {
  const range = semver.validRange(text.trim())
  if (range) return { text: printable(text.trim()), range, from }
  throw new Failure('failed', `${from} says "${printable(text)}": not a version`, {
    hint: 'Use a version or a range, such as "10.x"',
  })
}

/** A rule such as `>=1.22` must not lead to a program that cannot read the lockfile. */
function within(version: VersionText, line: string): VersionText {
  if (line === '*') return version
  const ranges = version.range.split('||').map((one) => `${one.trim()} ${line}`)
  const range = semver.validRange(ranges.join(' || '))
  return range ? { ...version, range } : version
}

/** The Yarn that a tree brings along is run by any other. */
function yarnFile(root: Source, manager: ManagerName): VersionText | undefined {
  if (manager !== 'yarn') return undefined
  const text = root.readText('.yarnrc.yml', 65536) ?? ''
  const version = /^yarnPath:.*yarn-(\d+\.\d+\.\d+)[^/]*\.c?js/m.exec(text)?.[1]
  return version === undefined
    ? undefined
    : { text: version, range: version, from: 'yarnPath in .yarnrc.yml' }
}

function nodeLinker(root: Source): string {
  const text = root.readText('.yarnrc.yml', 65536) ?? ''
  return /^nodeLinker:\s*["']?([\w-]+)/m.exec(text)?.[1] ?? 'pnp'
}

function majorOf(tool: ToolRequest | undefined, { usual }: Line): number {
  const range = tool?.pin?.range ?? tool?.constraint?.range ?? usual
  return range === '*' ? 0 : (semver.minVersion(range)?.major ?? 0)
}

function warningsOf(
  present: string[],
  o: { lockfile: string | undefined; manager: ManagerName; asked: Asked | undefined },
): string[] {
  const { lockfile, manager, asked } = o
  const others = present.filter((file) => file !== lockfile)
  const because = asked ? ` (packageManager in package.json is ${manager})` : ''
  if (lockfile) {
    return others.map(
      (other) => `${lockfile} and ${other} are both there: ${lockfile} is used${because}`,
    )
  }
  return others.map((other) => `${other} is not used${because}`)
}
