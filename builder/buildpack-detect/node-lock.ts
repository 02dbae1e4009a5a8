import type { NodeProject } from './node-project.ts'

/**
 * Whether whoever installs gets the same, whatever lies in an app's cache: the lockfile has the
 * hash of every package, and none of them runs a script of its own at install. Only npm's lockfile
 * says the second; pnpm runs none since 10 unless it is told to. With the others nobody knows.
 */
export function isExact(project: NodeProject): boolean {
  const { manager } = project
  if (!isPinned(project)) return false
  if (manager.name === 'npm') return !/"hasInstallScript": *true/.test(lockText(project))
  return manager.name === 'pnpm' && manager.major >= 10 && runsNothing(project)
}

/** Whether the lockfile has the hash of every package. */
export function isPinned(project: NodeProject): boolean {
  const { name, berry } = project.manager
  const { entry, hash } = patterns[name === 'yarn' && berry ? 'berry' : name]
  const text = lockText(project)
  const entries = text.match(entry)?.length ?? 0
  return entries > 0 && entries === text.match(hash)?.length
}

const patterns = {
  npm: { entry: /"(?:[^"]*\/)?node_modules\/[^"]+": \{/g, hash: /"integrity": "sha512-/g },
  pnpm: { entry: /^ {2}\S.*:$/gm, hash: /^ {4}resolution: \{integrity: sha512-/gm },
  yarn: { entry: /^ {2}version /gm, hash: /^ {2}integrity "?sha512-/gm },
  berry: { entry: /^ {2}resolution: "@?[^@"]+@(?!workspace:)/gm, hash: /^ {2}checksum: /gm },
  bun: { entry: /^ {4}"[^"]+": \["/gm, hash: /"sha512-[^"]+"\],$/gm },
}

/** Of pnpm's, the part that has the packages. Empty for Bun's old one, which is no text. */
function lockText({ manager, root }: NodeProject): string {
  const { lockfile, name } = manager
  const text = !lockfile || lockfile === 'bun.lockb' ? '' : (root.readText(lockfile) ?? '')
  if (name !== 'pnpm') return text
  return /^packages:\n([^]*?)(?=^\S|(?![^]))/m.exec(text)?.[1] ?? ''
}

function runsNothing({ root, rootJson, workspaces }: NodeProject): boolean {
  const settings = `${root.readText('pnpm-workspace.yaml') ?? ''}${JSON.stringify(rootJson.raw.pnpm ?? {})}`
  if (/builtdependencies|allowbuilds|dangerously/i.test(settings)) return false
  return workspaces.length === 0 && !root.isFile('.pnpmfile.cjs') && !root.isFile('.pnpmfile.mjs')
}
