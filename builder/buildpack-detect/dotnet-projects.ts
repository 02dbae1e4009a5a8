import { posix } from 'node:path'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { Surroundings } from './plan.ts'

/** The projects of a tree, as far as it takes to know which of them is the app. */

export type Project = {
  /** Of the project's file, in the app's folder. */
  path: string
  /** What its properties say, of itself or of the nearest Directory.Build.props. */
  property: (name: string) => string | undefined
  isWeb: boolean
  /** Whether something can be started of it, rather than used by others. */
  isProgram: boolean
}

export const projectFile = /\.(cs|fs|vb)proj$/
export const solutionFile = /\.slnx?$/

/** The one project that is published. Failure: there is none, or more than one. */
export function chooseProject(
  source: Source,
  around: Pick<Surroundings, 'root' | 'folder'>,
): Project {
  const projects = projectPaths(source).map((path) => readProject(around, path))
  const programs = projects.filter(({ isProgram }) => isProgram)
  const web = programs.filter(({ isWeb }) => isWeb)
  const [chosen, ...others] = web.length > 0 ? web : programs
  if (chosen && others.length === 0) return chosen
  if (chosen) throw severalPrograms([chosen, ...others])
  const seen = projects.map(({ path }) => printable(path)).join(', ') || 'no project'
  throw new Failure('failed', `.NET detected, but there is no program in it: ${seen}`, {
    hint: 'A program is a project of Microsoft.NET.Sdk.Web, or one with <OutputType>Exe</OutputType>',
  })
}

const shownMost = 10

function severalPrograms(projects: Project[]): Failure {
  const names = projects.map(({ path }) => printable(path))
  const more = names.length > shownMost ? ` and ${names.length - shownMost} more` : ''
  const folder = projects.map(({ path }) => posix.dirname(path)).find((dir) => dir !== '.')
  const hint = folder
    ? `Name the folder of one in paas.toml: app_dir = "${printable(folder)}", or with git:set`
    : 'Put each into a folder of its own, and name one in paas.toml: app_dir = "web"'
  const seen = `.NET detected, with ${names.length} programs: `
  return new Failure('failed', seen + names.slice(0, shownMost).join(', ') + more, { hint })
}

/** Those of the solutions; else those of the folder; else those of the folders in it. */
function projectPaths(source: Source): string[] {
  const names = source.list()
  const solutions = names.filter((name) => solutionFile.test(name))
  const listed = solutions.flatMap((name) => projectsIn(source.readText(name) ?? ''))
  const there = [...new Set(listed)].filter((path) => source.isFile(path))
  if (there.length > 0) return there
  const own = names.filter((name) => projectFile.test(name))
  return own.length > 0 ? own : findBelow(source)
}

/** `Project("{…}") = "Web", "src\Web.csproj", "{…}"`, or `<Project Path="src/Web.csproj">`. */
function projectsIn(solution: string): string[] {
  const lines = solution.matchAll(
    /^\s*(?:Project\(.*?\)\s*=\s*".*?",|<Project\s+Path=)\s*"([^"]+)"/gm,
  )
  return [...lines]
    .map(([, path = '']) => posix.normalize(path.replaceAll('\\', '/')))
    .filter((path) => projectFile.test(path) && !/^(\.\.|\/)/.test(path))
}

const depthMost = 4
const foldersMost = 2000

function findBelow(source: Source): string[] {
  const found: string[] = []
  const waiting = [{ folder: '', depth: 0 }]
  for (let next = waiting.shift(), seen = 0; next && seen < foldersMost; seen += 1) {
    const { folder, depth } = next
    for (const name of source.list(folder)) {
      const path = posix.join(folder, name)
      if (projectFile.test(name)) found.push(path)
      const isOther = /^(\.|(bin|obj|node_modules)\/)/.test(name)
      if (!name.endsWith('/') || isOther || depth >= depthMost) continue
      waiting.push({ folder: path.replace(/\/$/, ''), depth: depth + 1 })
    }
    next = waiting.shift()
  }
  return found
}

function readProject(
  { root, folder }: Pick<Surroundings, 'root' | 'folder'>,
  path: string,
): Project {
  const whole = posix.join(folder, path)
  const text = withoutComments(root.readText(whole) ?? '')
  const props = withoutComments(nearestProps(root, posix.dirname(whole)) ?? '')
  const property = (name: string) => propertyIn(text, name) ?? propertyIn(props, name)
  const sdk = /<Project[^>]*\sSdk="([^"/]+)/.exec(text)?.[1] ?? ''
  const isTest = /Microsoft\.NET\.Test\.Sdk/.test(text) || property('IsTestProject') === 'true'
  const isWeb = sdk === 'Microsoft.NET.Sdk.Web'
  const runs =
    isWeb || sdk === 'Microsoft.NET.Sdk.Worker' || /exe$/i.test(property('OutputType') ?? '')
  return { path, property, isWeb, isProgram: runs && !isTest }
}

/** MSBuild reads the nearest one alone. */
function nearestProps(root: Source, folder: string): string | undefined {
  for (let at = folder; ; at = posix.dirname(at)) {
    const text = root.readText(posix.join(at, 'Directory.Build.props'))
    if (text !== undefined || at === '.') return text
  }
}

function propertyIn(text: string, name: string): string | undefined {
  return new RegExp(`<${name}(?:\\s[^>]*)?>\\s*([^<]*?)\\s*</${name}>`).exec(text)?.[1]
}

function withoutComments(text: string): string {
  return text.replace(/<!--[^]*?-->/g, '')
}
