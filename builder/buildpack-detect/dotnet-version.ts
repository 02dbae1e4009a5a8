import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import { member, parseJson, text, wrong } from '../json-document.ts'
import type { Source } from '../source/source.ts'
import type { Project } from './dotnet-projects.ts'
import type { ToolRequest, VersionText } from './plan.ts'

/** What a framework's name says: `net8.0` is .NET 8.0. `several`: a publish has to name it. */
export type Framework = { name: string; version: string; several: boolean }

/** The newest framework that a project is for. Failure: none that runs here. */
export function frameworkOf({ path, property }: Project): Framework {
  const said = property('TargetFramework') ?? property('TargetFrameworks') ?? ''
  const names = said.split(';').map((name) => name.trim())
  const known = names.flatMap((name) => {
    const version = /^net(?:coreapp)?(\d+\.\d+)$/.exec(name)?.[1]
    return version === undefined ? [] : [{ name, version, several: names.length > 1 }]
  })
  const [newest] = known.sort((a, b) => semver.rcompare(`${a.version}.0`, `${b.version}.0`))
  if (newest) return newest
  const where = printable(path)
  if (said === '' || said.includes('$(')) {
    throw new Failure('failed', `.NET detected, but ${where} does not say for which framework`, {
      hint: 'Write <TargetFramework>net10.0</TargetFramework> into it, or Directory.Build.props',
    })
  }
  throw new Failure('failed', `.NET detected, but ${where} is for ${printable(said)}`, {
    hint: 'What runs here is net8.0 and the like: neither for Windows nor for telephones',
  })
}

/** The framework decides what runs; what builds is that of global.json, or of the framework too. */
export function dotnetRequests(
  root: Source,
  folder: string,
  { project, framework }: { project: Project; framework: Framework },
): { runtime: ToolRequest; sdk: ToolRequest } {
  const where = `TargetFramework in ${printable(project.path)}`
  const line = { text: framework.name, range: `${framework.version}.x`, from: where }
  const wanted = readGlobal(root, folder)
  return {
    runtime: {
      ...{ tool: 'aspnetcore', constraint: line, pin: undefined, inImage: true },
      choose: where,
    },
    sdk: {
      ...{ tool: 'dotnet', constraint: wanted?.within ?? line, pin: wanted?.pin, inImage: false },
      choose: 'sdk.version in global.json, or [versions] dotnet in paas.toml',
    },
  }
}

type Wanted = { within: VersionText; pin: VersionText | undefined }

/** That of the folder or of the nearest one above it, as `dotnet` itself looks for it. */
function readGlobal(root: Source, folder: string): Wanted | undefined {
  const parts = folder === '' ? [] : folder.split('/')
  for (let count = parts.length; count >= 0; count -= 1) {
    const file = [...parts.slice(0, count), 'global.json'].join('/')
    const content = root.readText(file)
    if (content !== undefined) return wantedBy(file, content)
  }
  return undefined
}

/** How far `rollForward` lets another take the place of a version, and what is tried first. */
const policies: Record<string, { within: Width; first?: Width }> = {
  disable: { within: 'exact' },
  patch: { within: 'band', first: 'exact' },
  latestPatch: { within: 'band' },
  feature: { within: 'minor', first: 'band' },
  latestFeature: { within: 'minor' },
  minor: { within: 'major', first: 'band' },
  latestMinor: { within: 'major' },
  major: { within: 'any', first: 'band' },
  latestMajor: { within: 'any' },
}

/** A band is a hundred: 8.0.404 is the fourth of the band 8.0.400. */
type Width = 'exact' | 'band' | 'minor' | 'major' | 'any'

function wantedBy(file: string, content: string): Wanted | undefined {
  const sdk = member(parseJson(file, content), 'sdk')
  const version = sdk && member(sdk, 'version')
  if (!version) return undefined
  const parsed = semver.parse(text(version))
  if (!parsed) throw wrong(version, 'a version of the SDK such as "8.0.404"')
  const roll = member(sdk, 'rollForward')
  const policy = policies[roll ? text(roll) : 'latestPatch']
  if (!policy) throw wrong(roll ?? version, `one of ${Object.keys(policies).join(', ')}`)
  const from = `sdk.version in ${file}`
  const words = (width: Width) => ({ text: parsed.version, range: rangeOf(parsed, width), from })
  return { within: words(policy.within), pin: policy.first && words(policy.first) }
}

function rangeOf({ version, major, minor, patch }: semver.SemVer, width: Width): string {
  if (width === 'exact') return version
  const ends = {
    band: ` <${major}.${minor}.${(Math.floor(patch / 100) + 1) * 100}`,
    minor: ` <${major}.${minor + 1}.0`,
    major: ` <${major + 1}.0.0`,
    any: '',
  }
  return `>=${version}${ends[width]}`
}
