import type { Source } from '../source/source.ts'
import type { NodeProject } from './node-project.ts'
import { type PackageJson, reducedManifest } from './package-json.ts'
import type { StepInputs } from './plan.ts'

/** Scripts that managers run around an install, in their order. They may need every file. */
export const installScripts = [
  'preinstall',
  'install',
  'postinstall',
  'prepublish',
  'preprepare',
  'prepare',
  'postprepare',
]

/**
 * An install depends on the manifests and the lockfile alone, and is re-used while they are equal,
 * unless it reads packages that lie in the tree.
 */
export function installInputs(project: NodeProject): StepInputs {
  const { root, rootJson, manager, workspaces } = project
  const why = readsTheTree(project)
  if (why) {
    return { kind: 'tree', why, write: manifest('', withoutInstallScripts(rootJson)) }
  }
  const lockfile = manager.lockfile
  const files = [...settings, ...(lockfile ? [lockfile] : [])].filter((file) => root.isFile(file))
  const folders = settingFolders.filter((folder) => root.isDirectory(folder.slice(0, -1)))
  const write = workspaces.map(({ folder, packageJson }) => {
    return manifest(`${folder}/`, {
      ...reducedManifest(packageJson.raw),
      ...versionOf(packageJson),
    })
  })
  // Yarn's lockfile names the app itself; to the others its name changes nothing.
  const named = manager.berry || workspaces.length > 0
  const { name, bin, ...nameless } = reducedManifest(rootJson.raw)
  const reduced = named ? { ...nameless, name, bin } : nameless
  return {
    kind: 'files',
    why: lockfile ?? 'package.json',
    copy: [...files.sort(byUse(lockfile)), ...folders],
    write: Object.assign(manifest('', reduced), ...write),
  }
}

/** Files that change what is installed, beside manifests and lockfile. */
const settings = [
  '.npmrc',
  '.pnpmfile.cjs',
  '.pnpmfile.mjs',
  'pnpm-workspace.yaml',
  '.yarnrc',
  '.yarnrc.yml',
  'bunfig.toml',
  'prisma/schema.prisma',
  '.puppeteerrc.cjs',
]

const settingFolders = ['.yarn/patches/', '.yarn/plugins/', '.yarn/releases/', 'patches/']

function byUse(lockfile: string | undefined): (a: string, b: string) => number {
  return (a, b) => Number(b === lockfile) - Number(a === lockfile)
}

/** A package of the workspace may be asked for by a range. */
function versionOf({ raw }: PackageJson): Record<string, unknown> {
  return typeof raw.version === 'string' ? { version: raw.version } : {}
}

function manifest(folder: string, value: Record<string, unknown>): Record<string, string> {
  return { [`${folder}package.json`]: `${JSON.stringify(value)}\n` }
}

/** They belong to the build step, which has the whole tree and the tools. */
function withoutInstallScripts({ raw, scripts }: PackageJson): Record<string, unknown> {
  const kept = Object.entries(scripts).filter(([name]) => !installScripts.includes(name))
  return { ...raw, scripts: Object.fromEntries(kept) }
}

function readsTheTree(project: NodeProject): string | undefined {
  const { root, rootJson, workspaces } = project
  if (rootJson.hasWorkspaces && workspaces.length === 0) return 'workspaces in package.json'
  for (const { folder, packageJson } of [{ folder: '', packageJson: rootJson }, ...workspaces]) {
    const where = folder === '' ? 'package.json' : `${folder}/package.json`
    const local = Object.entries(allDependencies(packageJson)).find(([, version]) =>
      /^(file:|link:|portal:|\.{0,2}\/|~\/)/.test(version),
    )
    if (local) return `${local[0]} in ${where} lies in the repository`
    const script = folder && installScripts.find((name) => name in packageJson.scripts)
    if (script) return `scripts.${script} in ${where} runs at install`
  }
  return treeFile(root)
}

/** What lies in git and belongs to what an install makes. */
function treeFile(root: Source): string | undefined {
  if (root.isFile('binding.gyp')) return 'binding.gyp'
  if (root.isFile('.pnp.cjs')) return '.pnp.cjs in the repository'
  const folder = ['node_modules', '.yarn/cache'].find((name) => root.isDirectory(name))
  return folder && `${folder} in the repository`
}

function allDependencies(packageJson: PackageJson): Record<string, string> {
  const { dependencies, devDependencies, optionalDependencies } = packageJson
  return { ...dependencies, ...devDependencies, ...optionalDependencies }
}
