import type { Source } from '../source/source.ts'
import { nodeAssets } from './node-assets.ts'
import { type Composer, readComposer } from './php-composer.ts'
import { usualExtensions } from './php-extensions.ts'
import { phpRequest } from './php-version.ts'
import { documentRoot, serverEnv } from './php-web.ts'
import { cacheTarget, type Detector, type LanguagePlan, type Step, systemPath } from './plan.ts'

/** PHP: with Composer or bare; Caddy serves the files and hands the rest to PHP-FPM. */
export const php: Detector = {
  language: 'PHP',
  looksFor: 'composer.json, index.php or public/index.php',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planPhp,
}

const markers = ['composer.json', 'index.php', 'public/index.php']

function planPhp(source: Source): LanguagePlan {
  const composer = readComposer(source)
  const extensions = [...usualExtensions, ...(composer?.extensions ?? [])]
  const asked = { php: composer?.php, extensions, hasComposer: composer !== undefined }
  const { tool, warnings } = phpRequest(source, asked)
  const own = composer ? composerSteps(source, composer) : []
  const assets = nodeAssets(
    source,
    own.map(({ name }) => name),
  )
  const root = documentRoot(source, composer)
  return {
    tools: [tool, server, ...assets.tools],
    steps: [...own, ...assets.steps],
    env: {
      ...frameworkEnv(composer),
      ...serverEnv(source, composer, root),
      PATH: `/app/vendor/bin:${systemPath}`,
    },
    warnings: [...warnings, ...composerWarnings(source, composer), ...assets.warnings],
    web: root && { command: 'php-web', from: root.from },
    howToStart:
      'Put index.php at the top or in public/, or add a Procfile with: web: php-web folder',
  }
}

const server = {
  tool: 'caddy',
  constraint: undefined,
  pin: undefined,
  choose: 'a Procfile with a web server of your own',
  inImage: true,
}

/** Logs go where the platform reads them. */
function frameworkEnv(composer: Composer | undefined): Record<string, string> {
  if (composer?.packages.has('laravel/framework')) return { LOG_CHANNEL: 'stderr' }
  if (composer?.packages.has('symfony/framework-bundle')) return { APP_ENV: 'prod' }
  return {}
}

function composerWarnings(source: Source, composer: Composer | undefined): string[] {
  if (!composer) return []
  if (hasVendor(source)) return ['vendor/ is in the repository and is used as it is']
  if (composer.hasLock || composer.packages.size === 0) return []
  return ['No composer.lock: versions of packages are chosen anew when composer.json changes']
}

function hasVendor(source: Source): boolean {
  return source.isFile('vendor/autoload.php')
}

/** Packages by the lockfile alone; then the autoloader and the scripts, which want every file. */
function composerSteps(source: Source, composer: Composer): Step[] {
  if (hasVendor(source)) return []
  const install =
    composer.packages.size > 0 || composer.hasLock ? [installStep(source, composer)] : []
  const scripts = ['post-install-cmd', 'compile'].filter((name) => composer.scripts.has(name))
  if (install.length === 0 && !composer.hasAutoload && scripts.length === 0) return []
  const commands = [
    'composer dump-autoload --no-dev --optimize',
    ...scripts.map((name) => `composer run-script --no-dev ${name}`),
  ]
  const names = install.map(({ name }) => name)
  const build: Step = {
    ...common(composer),
    name: 'autoloader',
    kind: 'build',
    title: commands.join(', '),
    argv: ['sh', '-c', `set -e\n${commands.join('\n')}`],
    inputs: { kind: 'tree', why: 'every file' },
    on: names,
    hint: `Try it at home with: ${commands.join(' && ')}`,
  }
  return [...install, build]
}

function installStep(source: Source, composer: Composer): Step {
  const files = ['composer.json', 'composer.lock', 'auth.json', 'symfony.lock']
  const options = '--no-dev --prefer-dist --no-progress --no-scripts --no-autoloader'
  return {
    ...common(composer),
    shareable: composer.hasLock,
    name: 'dependencies',
    kind: 'dependencies',
    title: 'composer install --no-dev',
    argv: ['composer', 'install', ...options.split(' ')],
    inputs: {
      kind: 'files',
      why: composer.hasLock ? 'composer.lock' : 'composer.json',
      copy: [...files.filter((file) => source.isFile(file)), ...composer.local],
    },
    on: [],
    hint: composer.hasLock
      ? 'If composer.lock is out of date: composer update --lock, commit it, push again'
      : 'Try it at home with: composer install, and commit composer.lock',
  }
}

function common(composer: Composer) {
  return {
    env: {
      ...frameworkEnv(composer),
      COMPOSER_CACHE_DIR: `${cacheTarget}/composer`,
      COMPOSER_HOME: '/tmp/composer',
      COMPOSER_MEMORY_LIMIT: '-1',
      // A link to where a package lay would lead nowhere in the image.
      COMPOSER_MIRROR_PATH_REPOS: '1',
      COMPOSER_NO_AUDIT: '1',
      COMPOSER_NO_INTERACTION: '1',
      COMPOSER_ROOT_VERSION: '1.0.0+no-version-set',
    },
    configKeys: ['COMPOSER_AUTH'],
    configPrefixes: [],
    inImage: true,
    shareable: false,
    drop: [],
  }
}
