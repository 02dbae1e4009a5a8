import { isExact, isPinned } from './node-lock.ts'
import { installInputs } from './node-inputs.ts'
import { type NodeManager, usualLockfile } from './node-manager.ts'
import type { NodeProject } from './node-project.ts'
import { ownRegistryEnv, registryKeys } from './node-registry.ts'
import { cacheTarget, type Step } from './plan.ts'

/** What is installed: what the app runs with, or all that its build needs. */
export type InstallName = 'dependencies' | 'build dependencies'

/** One install by the tree's manager, as its lockfile says. */
export function installStep(project: NodeProject, name: InstallName): Step {
  const { manager, root } = project
  const configKeys = registryKeys(root)
  const inputs = installInputs(project)
  const exact = configKeys.length === 0 && isExact(project)
  const shareable =
    exact || (configKeys.length === 0 && isPinned(project) && inputs.kind === 'files')
  const { argv, env, script } = command(project, name, exact)
  const title = argv.filter((word) => !word.startsWith('--ignore-scripts')).join(' ')
  return {
    name,
    kind: 'dependencies',
    title,
    argv: script ? ['sh', '-c', script] : argv,
    env: {
      ...(name === 'dependencies' ? { NODE_ENV: 'production' } : {}),
      ...env,
      ...ownRegistryEnv(root, manager),
    },
    configKeys: [...configKeys, ...(manager.berry ? ['YARN_NPM_AUTH_TOKEN'] : [])],
    configPrefixes: [],
    inputs,
    on: [],
    inImage: name === 'dependencies',
    shareable,
    ...(exact && manager.name === 'npm' && { checksCache: true as const }),
    drop: dropped[manager.name],
    hint: hintOf(manager),
  }
}

type Command = { argv: string[]; env: Record<string, string>; script?: string }

function command(project: NodeProject, name: InstallName, ignoreScripts: boolean): Command {
  const { manager } = project
  const runs = name === 'dependencies'
  const noScripts = ignoreScripts ? ['--ignore-scripts'] : []
  const frozen = manager.lockfile ? ['--frozen-lockfile'] : []
  if (manager.name === 'npm') return npmCommand(project, runs, noScripts)
  if (manager.name === 'pnpm') {
    const only = project.folder && runs ? ['--filter', `{./${project.folder}}...`] : []
    const which = [
      ...(manager.lockfile ? frozen : ['--no-frozen-lockfile']),
      runs ? '--prod' : '--prod=false',
    ]
    const argv = ['pnpm', ...only, 'install', ...which, ...noScripts]
    return { argv, env: pnpmEnv }
  }
  if (manager.name === 'bun') {
    return {
      argv: ['bun', 'install', ...frozen, ...(runs ? ['--production'] : [])],
      env: {},
    }
  }
  if (manager.berry) return berryCommand(project, runs)
  const which = [...frozen, '--non-interactive', `--production=${runs}`]
  return {
    argv: ['yarn', 'install', ...which],
    env: { YARN_CACHE_FOLDER: `${cacheTarget}/yarn-1` },
  }
}

function npmCommand(project: NodeProject, runs: boolean, noScripts: string[]): Command {
  const { manager, folder } = project
  const which = runs ? '--omit=dev' : '--include=dev'
  const only = folder && runs ? [`--workspace=${folder}`, '--include-workspace-root'] : []
  const verb = manager.lockfile ? ['ci', which] : ['install', '--no-package-lock', which]
  return { argv: ['npm', ...verb, ...only, ...noScripts], env: {} }
}

/** Settings by every name that some pnpm reads. An app that starts must never install. */
export const pnpmRunEnv = {
  npm_config_manage_package_manager_versions: 'false',
  npm_config_verify_deps_before_run: 'false',
  pnpm_config_pm_on_fail: 'ignore',
  pnpm_config_verify_deps_before_run: 'false',
}

const pnpmEnv = {
  ...pnpmRunEnv,
  npm_config_store_dir: `${cacheTarget}/pnpm`,
  pnpm_config_store_dir: `${cacheTarget}/pnpm`,
}

/**
 * `workspaces focus` is what installs without development dependencies; it is Yarn's own since 4
 * and a plugin before. It does not look whether the lockfile is up to date, so that is asked first.
 */
function berryCommand({ manager, root, packageJson, folder }: NodeProject, runs: boolean): Command {
  const env = {
    YARN_ENABLE_TELEMETRY: '0',
    YARN_ENABLE_GLOBAL_CACHE: manager.pnp ? 'false' : 'true',
    YARN_ENABLE_PROGRESS_BARS: '0',
    YARN_GLOBAL_FOLDER: `${cacheTarget}/yarn`,
  }
  const install = ['yarn', 'install', ...(manager.lockfile ? ['--immutable'] : [])]
  const focuses = manager.major >= 4 || root.isFile(focusPlugin)
  if (!runs || !focuses) return { argv: install, env }
  const which = folder && packageJson.name ? [packageJson.name] : []
  const focus = ['yarn', 'workspaces', 'focus', '--production', ...which]
  const check = manager.major >= 3 && manager.lockfile ? checkLockfile : ''
  return { argv: focus, env, script: `${check}exec ${focus.map(quoted).join(' ')}` }
}

export const focusPlugin = '.yarn/plugins/@yarnpkg/plugin-workspace-tools.cjs'

/** Resolves what the lockfile lacks and installs nothing: `--immutable` forbids such a change. */
const checkLockfile = `cp yarn.lock /tmp/yarn.lock
YARN_ENABLE_IMMUTABLE_INSTALLS=false yarn install --mode=update-lockfile >/tmp/yarn.log 2>&1 ||
  { cat /tmp/yarn.log; exit 1; }
cmp --silent yarn.lock /tmp/yarn.lock || { echo 'yarn.lock does not fit package.json'; exit 1; }
`

function quoted(word: string): string {
  return /^[\w@/.=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** Times and places of the install itself would make every layer another one. */
const dropped: Record<NodeManager['name'], string[]> = {
  npm: ['node_modules/.cache'],
  pnpm: [
    'node_modules/.cache',
    'node_modules/.modules.yaml',
    'node_modules/.pnpm-workspace-state-v1.json',
    'node_modules/.pnpm-workspace-state.json',
  ],
  yarn: ['node_modules/.cache'],
  bun: ['node_modules/.cache'],
}

function hintOf({ name, lockfile }: NodeManager): string {
  return lockfile
    ? `If ${lockfile} is out of date: ${name} install, commit ${lockfile}, push again`
    : `Try it at home with: ${name} install, and commit ${usualLockfile[name]}`
}
