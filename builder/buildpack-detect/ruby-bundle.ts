import type { Source } from '../source/source.ts'
import { cacheTarget, type Step, type StepInputs } from './plan.ts'
import type { Gems } from './ruby-gems.ts'

/** Where Bundler finds the gems, while building and at run time. */
export function bundleEnv({ file, lockfile }: Gems): Record<string, string> {
  return {
    // A .bundle/config that someone committed would win over what is said here.
    BUNDLE_APP_CONFIG: '/tmp/bundle',
    ...(file === 'gems.rb' && { BUNDLE_GEMFILE: '/app/gems.rb' }),
    ...(lockfile !== undefined && { BUNDLE_DEPLOYMENT: '1' }),
    BUNDLE_PATH: '/app/vendor/bundle',
    // The Bundler that is there; it would get the lockfile's own from the network.
    BUNDLE_VERSION: 'system',
    BUNDLE_WITHOUT: 'development:test',
  }
}

export function bundleStep(source: Source, gems: Gems): Step {
  const inputs = inputsOf(source, gems)
  return {
    name: 'dependencies',
    kind: 'dependencies',
    title: 'bundle install',
    argv: ['sh', '-c', install],
    env: {
      ...bundleEnv(gems),
      BUNDLE_GLOBAL_GEM_CACHE: 'true',
      BUNDLE_JOBS: '4',
      BUNDLE_RETRY: '3',
      BUNDLE_SILENCE_ROOT_WARNING: '1',
      BUNDLE_USER_HOME: '/tmp/bundle-home',
      BUNDLE_USER_CACHE: `${cacheTarget}/bundle`,
    },
    configKeys: ['BUNDLE_GITHUB__COM', 'BUNDLE_RUBYGEMS__ORG', ...gems.hosts.map(credentialsKey)],
    configPrefixes: ['BUNDLE_BUILD__'],
    inputs,
    on: [],
    inImage: true,
    shareable: gems.lockfile !== undefined && inputs.kind === 'files',
    drop: ['.bundle'],
    hint: gems.lockfile
      ? `If ${gems.lockfile} is out of date, or has no platform of this server: ` +
        'bundle lock --add-platform x86_64-linux, commit it, push again'
      : 'Try it at home with: bundle install, and commit the lockfile',
  }
}

/** What extensions leave of their compilation says when and where, and nobody reads it. */
const install = `set -e
bundle install
rm -rf vendor/bundle/ruby/*/cache
find vendor/bundle -type f \\( -name gem_make.out -o -name mkmf.log -o -path '*/ext/*.o' \\) -delete`

function inputsOf(source: Source, { file = '', lockfile, text, local }: Gems): StepInputs {
  if (local.includes('/')) return { kind: 'tree', why: `${file} names the tree itself as a gem` }
  const read = [...text.matchAll(/['"]([\w./-]+)['"]/g)].map(([, path = '']) => path)
  const named = ['.ruby-version', '.tool-versions', ...read.filter((path) => /[./]/.test(path))]
  const files = [file, lockfile ?? '', ...new Set(named)].filter((path) => source.isFile(path))
  const cached = source.isDirectory('vendor/cache') ? ['vendor/cache/'] : []
  const inside = local.filter((path) => source.isDirectory(path.replace(/\/$/, '')))
  return { kind: 'files', why: lockfile ?? file, copy: [...files, ...inside, ...cached] }
}

/** Where Bundler looks for the password of a host: BUNDLE_GEMS__A___B__COM for `gems.a-b.com`. */
function credentialsKey(host: string): string {
  return `BUNDLE_${host.replaceAll('.', '__').replaceAll('-', '___').toUpperCase()}`
}
