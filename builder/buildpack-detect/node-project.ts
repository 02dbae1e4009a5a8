import type { Source } from '../source/source.ts'
import { findNodeManager, hasLockfile, type NodeManager } from './node-manager.ts'
import { readWorkspaces, type Workspace } from './node-workspaces.ts'
import { type PackageJson, readPackageJson } from './package-json.ts'
import type { Surroundings } from './plan.ts'

/** A tree with a package.json, and where its packages are installed. */
export type NodeProject = {
  /** The app's own folder. */
  source: Source
  packageJson: PackageJson
  /** Where the lockfile is: the app's own folder, or the workspace around it. */
  root: Source
  rootJson: PackageJson
  /** The app's folder below `root`; empty where they are one. */
  folder: string
  workspaces: Workspace[]
  manager: NodeManager
  /** What paas.toml says to build it with. */
  buildCommand: string | undefined
}

/**
 * An app in a folder (`app_dir`) without a lockfile of its own, which the workspace at the top of
 * the repository counts among its packages, is installed there.
 */
export function readProject(source: Source, around?: Surroundings): NodeProject {
  const packageJson = readPackageJson(source)
  const buildCommand = around?.buildCommand
  if (
    around &&
    around.folder !== '' &&
    !hasLockfile(source) &&
    around.root.isFile('package.json')
  ) {
    const { root, folder } = around
    const rootJson = readPackageJson(root)
    const workspaces = readWorkspaces(root, rootJson)
    if (workspaces.some((one) => one.folder === folder)) {
      const manager = findNodeManager(root, rootJson)
      return { source, packageJson, root, rootJson, folder, workspaces, manager, buildCommand }
    }
  }
  return {
    source,
    packageJson,
    root: source,
    rootJson: packageJson,
    folder: '',
    workspaces: readWorkspaces(source, packageJson),
    manager: findNodeManager(source, packageJson),
    buildCommand,
  }
}

/** Reads a file of the app, and where it has none the workspace's own. */
export function appThenRoot({ source, root }: NodeProject): Source {
  return {
    ...source,
    readText: (path, maxBytes) => source.readText(path, maxBytes) ?? root.readText(path, maxBytes),
  }
}
