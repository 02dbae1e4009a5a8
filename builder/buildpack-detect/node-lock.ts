import type { NodeProject } from './node-project.ts'

/**
 * Whether whoever installs gets the same, whatever lies in an app's cache: the lockfile has the
 * hash of every package, and none of them runs a script of its own at install. Only npm's lockfile
 * says the second; pnpm runs none since 10 unless it is told to. With the others nobody knows.
 */
export function isExact(project: NodeProject): boolean {
  const { manager, root } = project
  const text = manager.lockfile ? (root.readText(manager.lockfile) ?? '') : ''
  if (manager.name === 'npm') return isExactNpm(text)
  return manager.name === 'pnpm' && manager.major >= 10 && isExactPnpm(project, text)
}

function isExactNpm(text: string): boolean {
  const packages = text.match(/"(?:[^"]*\/)?node_modules\/[^"]+": \{/g)?.length ?? 0
  const hashes = text.match(/"integrity": "sha512-/g)?.length ?? 0
  const runsScripts = /"hasInstallScript": *true/.test(text)
  return packages > 0 && packages === hashes && !runsScripts
}

function isExactPnpm({ root, rootJson, workspaces }: NodeProject, text: string): boolean {
  const settings = `${root.readText('pnpm-workspace.yaml') ?? ''}${JSON.stringify(rootJson.raw.pnpm ?? {})}`
  if (/builtdependencies|allowbuilds|dangerously/i.test(settings)) return false
  if (workspaces.length > 0 || root.isFile('.pnpmfile.cjs') || root.isFile('.pnpmfile.mjs')) {
    return false
  }
  const packages = /^packages:\n([^]*?)(?=^\S|(?![^]))/m.exec(text)?.[1] ?? ''
  const entries = packages.match(/^ {2}\S.*:$/gm)?.length ?? 0
  const hashes = packages.match(/^ {4}resolution: \{integrity: sha512-/gm)?.length ?? 0
  return entries > 0 && entries === hashes
}
