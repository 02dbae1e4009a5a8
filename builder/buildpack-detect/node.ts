import { focusPlugin, pnpmRunEnv } from './node-install.ts'
import { usualLockfile } from './node-manager.ts'
import { appThenRoot, type NodeProject, readProject } from './node-project.ts'
import { planSteps } from './node-steps.ts'
import { nodeRequest } from './node-version.ts'
import { findWeb, howToStart } from './node-web.ts'
import {
  type Detector,
  type LanguagePlan,
  type Step,
  type Surroundings,
  systemPath,
  type ToolRequest,
} from './plan.ts'
import { servedFiles, type Site } from './served-files.ts'
import { settingsOfSite } from './static.ts'

/** Node: package.json; npm, pnpm or Yarn installs, by the lockfile when there is one. */
export const node: Detector = {
  language: 'Node',
  looksFor: 'package.json',
  detect: (source) => (source.isFile('package.json') ? 'package.json' : undefined),
  plan: (source, around) => {
    const project = readProject(source, around)
    const { tool, warnings } = nodeRequestOf(project)
    return planProject(project, around, [tool], warnings)
  },
}

/** The plan of a tree with a package.json, by the tools that run it, lowest first. */
export function planProject(
  project: NodeProject,
  around: Surroundings,
  runtimes: ToolRequest[],
  warnings: string[],
): LanguagePlan {
  const found = findWeb(project)
  // A Procfile starts something of its own, and needs what that runs with.
  const asked = settingsOfSite(project.source)
  const site = around.processes || !found.site ? undefined : siteOf(found.site, asked)
  const { manager, folder } = project
  const steps = planSteps(project, site)
  const tools = [...runtimes, ...(manager.tool ? [manager.tool] : [])]
  const rest = {
    ...(folder !== '' && { ofRepository: true as const }),
    steps,
    warnings: [
      ...warnings,
      ...manager.warnings,
      ...(around.processes ? [] : found.warnings),
      ...warningsOf(project, steps),
      ...plugAndPlay(project, around),
    ],
    howToStart: howToStart(project, found),
  }
  if (!site) return { ...rest, tools, env: envOf(project, found.framework?.env), web: found.web }
  const served = servedFiles({ ...site, root: folder ? `${folder}/${site.root}` : site.root })
  return {
    ...rest,
    tools: [...tools.map((tool) => ({ ...tool, inImage: false })), ...served.tools],
    warnings: [...rest.warnings, ...asked.warnings],
    env: { ...envOf(project, undefined), ...served.env, ...asked.env },
    // It serves by an absolute path, wherever it starts.
    web: { command: served.command, from: `the files in ${site.root}/, ${found.framework?.name}` },
  }
}

/** A static.json beside the sources says where the build writes, and how that is served. */
function siteOf(site: Site, { root, spa }: { root: string | undefined; spa: boolean }): Site {
  const named = root?.replace(/^\.?\/+|\/+$/g, '')
  const isBelow = named && !named.split('/').includes('..')
  return { root: isBelow ? named : site.root, spa: site.spa || spa }
}

/** The Node of a project: an app in a workspace may leave it to the workspace. */
export function nodeRequestOf(project: NodeProject): { tool: ToolRequest; warnings: string[] } {
  const { packageJson, rootJson } = project
  return nodeRequest(appThenRoot(project), {
    ...packageJson,
    engines: { ...rootJson.engines, ...packageJson.engines },
    volta: { ...rootJson.volta, ...packageJson.volta },
  })
}

function envOf({ manager, folder }: NodeProject, framework?: Record<string, string>) {
  const own = folder === '' ? '' : `/app/${folder}/node_modules/.bin:`
  return {
    NODE_ENV: 'production',
    PATH: `${own}/app/node_modules/.bin:${systemPath}`,
    ...(manager.name === 'pnpm' && pnpmRunEnv),
    ...(manager.berry && { YARN_ENABLE_TELEMETRY: '0' }),
    ...framework,
  }
}

function warningsOf({ root, manager }: NodeProject, steps: Step[]): string[] {
  const { name, lockfile } = manager
  const warnings: string[] = []
  if (!lockfile && steps.some((step) => step.kind === 'dependencies')) {
    warnings.push(
      `No ${usualLockfile[name]}: versions of dependencies are chosen anew when they change`,
    )
  }
  if (root.isDirectory('node_modules')) {
    warnings.push('node_modules is in the repository: add it to .gitignore and remove it from git')
  }
  const prunes = steps.some((step) => step.name === 'dependencies') && manager.berry
  if (prunes && manager.major < 4 && !root.isFile(focusPlugin)) {
    warnings.push(
      'Development dependencies stay in the image: this Yarn leaves them out only with its plugin workspace-tools',
    )
  }
  return warnings
}

/** As it is at home; but there nobody forgets it. */
function plugAndPlay({ manager }: NodeProject, { processes = {} }: Surroundings): string[] {
  const plain = Object.entries(processes).filter(([, command]) => /^node\s/.test(command))
  if (!manager.pnp || plain.length === 0) return []
  const types = plain.map(([type]) => type).join(', ')
  return [`Yarn's Plug'n'Play packages are found by "yarn node", and not by "node": ${types}`]
}
