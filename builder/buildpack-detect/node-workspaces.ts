import { posix } from 'node:path'
import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { inFolder } from './app-dir.ts'
import { type PackageJson, readPackageJson } from './package-json.ts'

/** A package of a workspace, and its folder below the root. */
export type Workspace = { folder: string; packageJson: PackageJson }

/** The packages of the workspace at the root of a tree; none where it is no workspace. */
export function readWorkspaces(root: Source, packageJson: PackageJson): Workspace[] {
  const globs = [...packageJson.workspaces, ...pnpmGlobs(root)].map(plainGlob)
  if (globs.length === 0) return []
  const wanted = globs.filter((glob) => !glob.startsWith('!'))
  const unwanted = globs.filter((glob) => glob.startsWith('!')).map((glob) => glob.slice(1))
  return foldersOf(root)
    .filter((folder) => wanted.some((glob) => posix.matchesGlob(folder, glob)))
    .filter((folder) => !unwanted.some((glob) => posix.matchesGlob(folder, glob)))
    .map((folder) => ({
      folder,
      packageJson: readPackageJson(inFolder(root, folder), `${folder}/package.json`),
    }))
}

/**
 * The packages that a package of a workspace needs from it, itself last, each after those that it
 * needs: the order to build them in.
 */
export function buildOrder(workspaces: Workspace[], folder: string): Workspace[] {
  const byName = new Map(workspaces.map((one) => [one.packageJson.name, one]))
  const ordered: Workspace[] = []
  const seen = new Set<Workspace>()
  const add = (one: Workspace) => {
    if (seen.has(one)) return
    seen.add(one)
    const { dependencies, devDependencies, optionalDependencies } = one.packageJson
    for (const name of Object.keys({
      ...devDependencies,
      ...dependencies,
      ...optionalDependencies,
    })) {
      const needed = byName.get(name)
      if (needed) add(needed)
    }
    ordered.push(one)
  }
  const app = workspaces.find((one) => one.folder === folder)
  if (app) add(app)
  return ordered
}

/** The list below `packages:`; the rest of the file is pnpm's own. */
function pnpmGlobs(root: Source): string[] {
  const text = root.readText('pnpm-workspace.yaml', 1024 * 1024) ?? ''
  const list = /^packages:[ \t]*(?:#.*)?\n((?:[ \t]*(?:#.*|-.*)?\n?)*)/m.exec(text)?.[1] ?? ''
  const items = list.split('\n').flatMap((line) => {
    const item = /^\s*-\s*(?:"([^"]*)"|'([^']*)'|([^#\s]+))/.exec(line)
    return item ? [item[1] ?? item[2] ?? item[3] ?? ''] : []
  })
  return items.filter((item) => item !== '' && item !== '.')
}

function plainGlob(glob: string): string {
  return glob.replace(/^(!?)\.?\//, '$1').replace(/\/+$/, '')
}

const foldersMost = 5000
const depthMost = 5

/** Folders that hold a package.json, nearest first. */
function foldersOf(root: Source): string[] {
  const found: string[] = []
  let level = ['']
  for (let depth = 0, looked = 0; depth < depthMost && level.length > 0; depth++) {
    const next: string[] = []
    for (const folder of level) {
      if (++looked > foldersMost) {
        throw new Failure(
          'failed',
          `The repository has more than ${foldersMost} folders to look in`,
        )
      }
      for (const name of root.list(folder)) {
        if (!name.endsWith('/') || /^(\.|node_modules\/)/.test(name)) continue
        next.push(folder + name)
        if (root.isFile(`${folder}${name}package.json`)) found.push((folder + name).slice(0, -1))
      }
    }
    level = next
  }
  return found
}
