import { Failure } from '../../core/errors.ts'
import type { Source } from '../source.ts'
import { planSteps } from './node-steps.ts'
import { nodeRequest } from './node-version.ts'
import { type PackageJson, readPackageJson } from './package-json.ts'
import { type Detector, type LanguagePlan, systemPath } from './plan.ts'

/** Node: package.json; npm installs, by the lockfile when there is one. */
export const node: Detector = {
  language: 'Node',
  looksFor: 'package.json',
  detect: (source) => (source.isFile('package.json') ? 'package.json' : undefined),
  plan: planNode,
}

const lockfiles = ['npm-shrinkwrap.json', 'package-lock.json']

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
    tools: [tool],
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

/**
 * Another manager's lockfile and none of npm's: npm would choose other versions than were tested.
 */
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
