import { installScripts } from './node-inputs.ts'
import { type InstallName, installStep, pnpmRunEnv } from './node-install.ts'
import type { NodeProject } from './node-project.ts'
import { buildOrder } from './node-workspaces.ts'
import type { PackageJson } from './package-json.ts'
import { cacheTarget, type Step } from './plan.ts'
import type { Site } from './served-files.ts'

/**
 * Dependencies; and where something is to be built, a second set with the tools to build it. An app
 * that is files alone once it is built (`site`) runs with neither.
 */
export function planSteps(project: NodeProject, site?: Site): Step[] {
  const scripts = scriptsOf(project)
  const builds = scripts.length > 0 || project.buildCommand !== undefined
  const installs = installsOf(project, builds, site !== undefined)
  const build = buildStep(project, scripts, installs.slice(-1), site)
  return [...installs.map((name) => installStep(project, name)), ...(build ? [build] : [])]
}

function installsOf(project: NodeProject, builds: boolean, site: boolean): InstallName[] {
  const { packageJson, rootJson, workspaces, manager } = project
  const { dependencies, optionalDependencies, devDependencies } = packageJson
  const runs = { ...dependencies, ...optionalDependencies }
  const inWorkspace = rootJson.hasWorkspaces || workspaces.length > 0
  // Yarn starts nothing before it has installed once.
  const needsInstall = inWorkspace || manager.berry || Object.keys(runs).length > 0
  const hasTools =
    [devDependencies, rootJson.devDependencies].some((some) => Object.keys(some).length > 0) ||
    workspaces.some((one) => Object.keys(one.packageJson.devDependencies).length > 0)
  if (site) return needsInstall || hasTools ? ['build dependencies'] : []
  return [
    ...(needsInstall ? (['dependencies'] as const) : []),
    ...(builds && hasTools ? (['build dependencies'] as const) : []),
  ]
}

/** A script of the package in a folder; `.` is where the install was made. */
type Script = { folder: string; name: string }

/**
 * What runs after the install: the scripts around it, and `build`. In a workspace the packages that
 * the app needs are built before it. `heroku-postbuild` takes the place of `build` where a package
 * has both, as its authors expect.
 */
function scriptsOf(project: NodeProject): Script[] {
  const { rootJson, packageJson, folder, workspaces, manager } = project
  const around = manager.berry ? installScripts.slice(0, 3) : installScripts
  if (folder === '') return here([...around, ...buildNames(packageJson)], packageJson, '.')
  const needed = buildOrder(workspaces, folder)
  return [
    ...here(around, rootJson, '.'),
    ...needed.flatMap((one) => here(buildNames(one.packageJson), one.packageJson, one.folder)),
  ]
}

function here(names: string[], { scripts }: PackageJson, folder: string): Script[] {
  return names.filter((name) => scripts[name]?.trim()).map((name) => ({ folder, name }))
}

function buildNames({ scripts }: PackageJson): string[] {
  return 'heroku-postbuild' in scripts ? ['heroku-prebuild', 'heroku-postbuild'] : ['build']
}

/** Whether a build makes anything. */
export function hasBuild({ packageJson: { scripts }, buildCommand }: NodeProject): boolean {
  return Boolean((buildCommand ?? scripts['heroku-postbuild'] ?? scripts.build)?.trim())
}

/** Runs the scripts named as its arguments, one after the other, up to the first that fails. */
const runScripts = 'for script do "$0" run "$script" || exit; done'
const runInFolders = 'for one do (cd -- "${one%%:*}" && exec "$0" run "${one#*:}") || exit; done'
/** What is served must be there: an empty site would look like a good deploy. */
const checkOutput =
  '[ -d "$output" ] || { echo "The build made no $output/" >&2; ls -p >&2; exit 1; }'

/** Config that frameworks put into what browsers download, and so can be no secret. */
const publicPrefixes = [
  'GATSBY_',
  'NEXT_PUBLIC_',
  'NG_APP_',
  'NUXT_PUBLIC_',
  'PUBLIC_',
  'REACT_APP_',
  'VITE_',
  'VUE_APP_',
]

/** What bundlers and Next keep for their next run lies in the app's cache, and not in its image. */
function keptCaches(places: string[], hasNext: boolean): string {
  const kept = places.flatMap((at) => [
    `[ ! -d ${at}node_modules ] || keep ${at}node_modules/.cache`,
    ...(hasNext ? [`mkdir -p ${at}.next; keep ${at}.next/cache`] : []),
  ])
  return [keep, ...kept].join('\n')
}

const keep = `keep() {
  [ -e "$1" ] || [ -L "$1" ] || {
    mkdir -p "${cacheTarget}/built/$1"
    ln -s "${cacheTarget}/built/$1" "$1"
  }
}`

function buildStep(
  { manager, folder, packageJson }: NodeProject,
  scripts: Script[],
  on: string[],
  site: Site | undefined,
): Step | undefined {
  if (scripts.length === 0) return undefined
  const inFolders = folder !== ''
  const title = scripts
    .map(({ name, folder: at }) => `${manager.name} run ${name}${inFolders ? ` in ${at}/` : ''}`)
    .join(', ')
  const output = site && { output: inFolders ? `${folder}/${site.root}` : site.root }
  const uses = { ...packageJson.dependencies, ...packageJson.devDependencies }
  const script = [
    keptCaches(inFolders ? ['', `${folder}/`] : [''], 'next' in uses),
    inFolders ? runInFolders : runScripts,
    ...(site ? [checkOutput] : []),
  ].join('\n')
  const words = scripts.map(({ name, folder: at }) => (inFolders ? `${at}:${name}` : name))
  return {
    name: 'build',
    kind: 'build',
    title,
    argv: ['sh', '-c', script, manager.name, ...words],
    env: {
      NODE_ENV: 'production',
      // With CI it takes a warning of the linter for an error.
      ...('react-scripts' in uses && { CI: 'false' }),
      ...(manager.name === 'pnpm' && pnpmRunEnv),
      ...(manager.berry && { YARN_ENABLE_TELEMETRY: '0' }),
      ...output,
    },
    configKeys: [],
    configPrefixes: publicPrefixes,
    inputs: { kind: 'tree', why: 'every file' },
    on,
    inImage: true,
    shareable: false,
    drop: [
      ...new Set(
        ['', ...(inFolders ? [`${folder}/`] : [])].flatMap((at) => [
          `${at}node_modules/.cache`,
          `${at}node_modules/.vite`,
          `${at}node_modules/.vite-temp`,
          `${at}.next/cache`,
          `${at}.turbo`,
        ]),
      ),
    ],
    hint: `Try it at home with: ${title.replaceAll(',', ' &&')}`,
  }
}
