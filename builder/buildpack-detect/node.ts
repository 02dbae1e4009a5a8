import { Failure } from '../../core/errors.ts'
import type { Source } from '../source.ts'
import { nodeRequest } from './node-version.ts'
import { type PackageJson, readPackageJson, reducedManifest } from './package-json.ts'
import type { Detector, LanguagePlan, Step, StepInputs } from './plan.ts'

/** Node: package.json; npm installs, by the lockfile when there is one. */
export const node: Detector = {
  language: 'Node',
  looksFor: 'package.json',
  detect: (source) => (source.isFile('package.json') ? 'package.json' : undefined),
  plan: planNode,
}

const lockfiles = ['npm-shrinkwrap.json', 'package-lock.json']

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

function planNode(source: Source): LanguagePlan {
  const packageJson = readPackageJson(source)
  const lockfile = lockfiles.find((name) => source.isFile(name))
  const { tool, warnings } = nodeRequest(source, packageJson)
  refuseOtherManagers(source, packageJson, lockfile)
  const steps = planSteps(source, packageJson, lockfile)
  if (!lockfile && steps.some((step) => step.name === 'dependencies')) {
    warnings.push('No package-lock.json: versions of dependencies are chosen anew when they change')
  }
  if (source.isDirectory('node_modules')) {
    warnings.push('node_modules is in the repository: add it to .gitignore and remove it from git')
  }
  return {
    tool,
    steps,
    env: {
      NODE_ENV: 'production',
      PATH: `/app/node_modules/.bin:${systemPath}`,
    },
    warnings,
    web: webCommand(source, packageJson),
    howToStart: 'Add a "start" script to package.json, or a Procfile with: web: node server.js',
  }
}

const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Dependencies; and where something is to be built, a second set with the tools to build it. */
function planSteps(source: Source, packageJson: PackageJson, lockfile: string | undefined): Step[] {
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

/** `heroku-postbuild` takes the place of `build` where a package has both, as its authors expect. */
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
  if (why) return { kind: 'tree', why, manifest: withoutInstallScripts(packageJson) }
  const read = [lockfile ?? '', '.npmrc', 'prisma/schema.prisma', '.puppeteerrc.cjs']
  return {
    kind: 'files',
    copy: read.filter((file) => file !== '' && source.isFile(file)),
    manifest: reducedManifest(packageJson.raw),
  }
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
  const command = lockfile ? ['ci', which] : ['install', '--no-package-lock', which]
  const npmrc = source.readText('.npmrc', 65536) ?? ''
  const configKeys = [...npmrc.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\??\}/g)].map(([, key]) => key)
  return {
    name,
    title: ['npm', ...command].join(' '),
    argv: ['npm', ...command],
    env: name === 'dependencies' ? { NODE_ENV: 'production' } : {},
    configKeys: configKeys.filter((key) => key !== undefined),
    inputs,
    on: [],
    inImage: name === 'dependencies',
    shareable: configKeys.length === 0 && isExact(source, lockfile),
    drop: ['node_modules/.cache'],
    hint: lockfile
      ? `Try it at home with: npm ci (after npm install, commit ${lockfile})`
      : 'Try it at home with: npm install, and commit package-lock.json',
  }
}

/** Whether the lockfile has the hash of every package, so that whoever installs gets the same. */
function isExact(source: Source, lockfile: string | undefined): boolean {
  const text = lockfile ? (source.readText(lockfile) ?? '') : ''
  const packages = text.match(/"(?:[^"]*\/)?node_modules\/[^"]+": \{/g)?.length ?? 0
  const hashes = text.match(/"integrity": "sha512-/g)?.length ?? 0
  return packages > 0 && packages === hashes
}

/** Runs the scripts named as its arguments, one after the other, up to the first that fails. */
const runScripts = 'for script do npm run "$script" || exit; done'

function buildStep(scripts: string[], on: Step['name'][]): Step {
  const title = scripts.map((name) => `npm run ${name}`).join(', ')
  return {
    name: 'build',
    title,
    argv: ['sh', '-c', runScripts, 'sh', ...scripts],
    env: { NODE_ENV: 'production' },
    configKeys: [],
    inputs: { kind: 'tree', why: 'every file' },
    on,
    inImage: true,
    shareable: false,
    drop: ['node_modules/.cache', '.next/cache'],
    hint: `Try it at home with: ${title.replaceAll(',', ' &&')}`,
  }
}

/**
 * The `start` script itself where it is one plain command: the same as `npm start` without an npm
 * that stays in memory and costs a third of a second at every start.
 */
function webCommand(
  source: Source,
  { scripts }: PackageJson,
): { command: string; from: string } | undefined {
  const start = scripts.start?.trim()
  if (start) {
    const around = 'prestart' in scripts || 'poststart' in scripts
    const command = around || !isPlainCommand(start) ? 'npm start' : start
    return { command, from: 'scripts.start in package.json' }
  }
  if (source.isFile('server.js')) return { command: 'node server.js', from: 'server.js' }
  return undefined
}

/** Whether `exec` may stand before it, and nothing in it asks npm for what npm would have set. */
function isPlainCommand(command: string): boolean {
  if (/[;&|<>()`\n\\]|\$\(|npm_/.test(command)) return false
  return (
    /^[a-zA-Z0-9_./@-]+(\s|$)/.test(command) &&
    !/^(cd|exec|set|export|source|\.|if|for)\s/.test(command)
  )
}

/** Another manager's lockfile and none of npm's: npm would choose other versions than were tested. */
function refuseOtherManagers(
  source: Source,
  packageJson: PackageJson,
  lockfile: string | undefined,
): void {
  if (lockfile) return
  const files = ['pnpm-lock.yaml', 'yarn.lock', 'bun.lock', 'bun.lockb']
  const file = files.find((name) => source.isFile(name))
  const manager = packageJson.packageManager?.split('@')[0]
  const asked = manager && manager !== 'npm' ? `packageManager "${manager}" in package.json` : file
  if (!asked) return
  throw new Failure('failed', `Node detected (package.json), but ${asked} asks for more than npm`, {
    hint:
      'This version of paas installs with npm alone\n' +
      'To use it: npm install --package-lock-only, commit package-lock.json, push again',
  })
}
