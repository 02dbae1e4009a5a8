import type { Source } from '../source.ts'
import { type PackageJson, reducedManifest } from './package-json.ts'
import type { Step, StepInputs } from './plan.ts'

/** Dependencies; and where something is to be built, a second set with the tools to build it. */
export function planSteps(
  source: Source,
  packageJson: PackageJson,
  lockfile: string | undefined,
): Step[] {
  const { dependencies, optionalDependencies, devDependencies, hasWorkspaces } = packageJson
  const runs = { ...dependencies, ...optionalDependencies }
  const needsInstall = hasWorkspaces || Object.keys(runs).length > 0
  const scripts = buildScripts(packageJson)
  const needsTools = scripts.length > 0 && Object.keys(devDependencies).length > 0
  const inputs = installInputs(source, packageJson, lockfile)
  const steps: Step[] = []
  if (needsInstall) steps.push(installStep(source, 'dependencies', lockfile, inputs))
  if (needsTools) steps.push(installStep(source, 'build dependencies', lockfile, inputs))
  if (scripts.length > 0) {
    const beneath = needsTools ? 'build dependencies' : 'dependencies'
    steps.push(buildStep(scripts, needsTools || needsInstall ? [beneath] : []))
  }
  return steps
}

/** Scripts that npm runs around an install, in its order. They may need every file of the app. */
const installScripts = [
  'preinstall',
  'install',
  'postinstall',
  'prepublish',
  'preprepare',
  'prepare',
  'postprepare',
]

/**
 * `heroku-postbuild` takes the place of `build` where a package has both, as its authors expect.
 */
function buildScripts({ scripts }: PackageJson): string[] {
  const build = 'heroku-postbuild' in scripts ? ['heroku-prebuild', 'heroku-postbuild'] : ['build']
  return [...installScripts, ...build].filter((name) => scripts[name]?.trim())
}

/**
 * An install depends on the manifest and the lockfile alone, and is re-used while they are equal,
 * unless it reads packages that lie in the tree.
 */
function installInputs(
  source: Source,
  packageJson: PackageJson,
  lockfile: string | undefined,
): StepInputs {
  const why = readsTheTree(source, packageJson)
  if (why) return { kind: 'tree', why, write: manifest(withoutInstallScripts(packageJson)) }
  const read = [lockfile ?? '', '.npmrc', 'prisma/schema.prisma', '.puppeteerrc.cjs']
  return {
    kind: 'files',
    why: lockfile ?? 'package.json',
    copy: read.filter((file) => file !== '' && source.isFile(file)),
    write: manifest(reducedManifest(packageJson.raw)),
  }
}

function manifest(value: Record<string, unknown>): Record<string, string> {
  return { 'package.json': `${JSON.stringify(value)}\n` }
}

/** They belong to the build step, which has the whole tree and the tools. */
function withoutInstallScripts({ raw, scripts }: PackageJson): Record<string, unknown> {
  const kept = Object.entries(scripts).filter(([name]) => !installScripts.includes(name))
  return { ...raw, scripts: Object.fromEntries(kept) }
}

function readsTheTree(source: Source, packageJson: PackageJson): string | undefined {
  if (packageJson.hasWorkspaces) return 'workspaces in package.json'
  const { dependencies, devDependencies, optionalDependencies } = packageJson
  const all = { ...dependencies, ...devDependencies, ...optionalDependencies }
  const local = Object.entries(all).find(([, version]) =>
    /^(file:|link:|\.{0,2}\/|~\/)/.test(version),
  )
  if (local) return `${local[0]} in package.json lies in the repository`
  if (source.isFile('binding.gyp')) return 'binding.gyp'
  return source.isDirectory('node_modules') ? 'node_modules in the repository' : undefined
}

function installStep(
  source: Source,
  name: 'dependencies' | 'build dependencies',
  lockfile: string | undefined,
  inputs: StepInputs,
): Step {
  const which = name === 'dependencies' ? '--omit=dev' : '--include=dev'
  const npmrc = source.readText('.npmrc', 65536) ?? ''
  const configKeys = [...npmrc.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\??\}/g)].map(([, key]) => key)
  const shareable = configKeys.length === 0 && isExact(source, lockfile)
  const command = lockfile ? ['ci', which] : ['install', '--no-package-lock', which]
  return {
    name,
    kind: 'dependencies',
    title: ['npm', ...command].join(' '),
    argv: ['npm', ...command, ...(shareable ? ['--ignore-scripts'] : [])],
    env: name === 'dependencies' ? { NODE_ENV: 'production' } : {},
    configKeys: configKeys.filter((key) => key !== undefined),
    configPrefixes: [],
    inputs,
    on: [],
    inImage: name === 'dependencies',
    shareable,
    ...(shareable && { checksCache: true }),
    drop: ['node_modules/.cache'],
    hint: lockfile
      ? `If ${lockfile} is out of date: npm install, commit ${lockfile}, push again`
      : 'Try it at home with: npm install, and commit package-lock.json',
  }
}

/**
 * Whether the lockfile has the hash of every package and none of them runs a script of its own at
 * install: only then does whoever installs get the same, whatever lies in an app's cache.
 */
function isExact(source: Source, lockfile: string | undefined): boolean {
  const text = lockfile ? (source.readText(lockfile) ?? '') : ''
  const packages = text.match(/"(?:[^"]*\/)?node_modules\/[^"]+": \{/g)?.length ?? 0
  const hashes = text.match(/"integrity": "sha512-/g)?.length ?? 0
  const runsScripts = /"hasInstallScript": *true/.test(text)
  return packages > 0 && packages === hashes && !runsScripts
}

/** Runs the scripts named as its arguments, one after the other, up to the first that fails. */
const runScripts = 'for script do npm run "$script" || exit; done'

/** Config that frameworks put into what browsers download, and so can be no secret. */
const publicPrefixes = [
  'GATSBY_',
  'NEXT_PUBLIC_',
  'NUXT_PUBLIC_',
  'PUBLIC_',
  'REACT_APP_',
  'VITE_',
  'VUE_APP_',
]

function buildStep(scripts: string[], on: string[]): Step {
  const title = scripts.map((name) => `npm run ${name}`).join(', ')
  return {
    name: 'build',
    kind: 'build',
    title,
    argv: ['sh', '-c', runScripts, 'sh', ...scripts],
    env: { NODE_ENV: 'production' },
    configKeys: [],
    configPrefixes: publicPrefixes,
    inputs: { kind: 'tree', why: 'every file' },
    on,
    inImage: true,
    shareable: false,
    drop: ['node_modules/.cache', '.next/cache'],
    hint: `Try it at home with: ${title.replaceAll(',', ' &&')}`,
  }
}
