import type { Source } from '../source/source.ts'
import { nodeAssets } from './node-assets.ts'
import { cacheTarget, type LanguagePlan, type Step, systemPath } from './plan.ts'
import { bundleEnv } from './ruby-bundle.ts'
import type { Gems } from './ruby-gems.ts'
import { isTable } from './toml.ts'

type Added = Pick<LanguagePlan, 'tools' | 'steps' | 'warnings'>

export function isRails({ names }: Gems): boolean {
  return names.has('railties') || names.has('rails')
}

export function railsEnv(gems: Gems): Record<string, string> {
  if (!isRails(gems)) return {}
  return {
    RAILS_ENV: 'production',
    RAILS_LOG_TO_STDOUT: 'enabled',
    RAILS_SERVE_STATIC_FILES: 'enabled',
  }
}

/** Assets: Rails' own, with Node where package.json has something for it, or Node's alone. */
export function railsSteps(source: Source, gems: Gems, install: Step[]): Added {
  const on = install.map(({ name }) => name)
  if (!precompiles(source, gems)) return nodeAssets(source, on)
  const runsScript = scriptRunners.some((name) => gems.names.has(name))
  const assets = nodeAssets(runsScript ? withBuildScript(source) : source, on)
  // Rails runs the build script itself where a gem for it is there.
  const steps = runsScript ? assets.steps.filter(({ kind }) => kind !== 'build') : assets.steps
  const beneath = [...on, ...steps.map(({ name }) => name)]
  return { ...assets, steps: [...steps, precompile(gems, beneath)] }
}

const pipelines = ['propshaft', 'shakapacker', 'sprockets', 'vite_rails', 'webpacker']
const scriptRunners = [
  'cssbundling-rails',
  'jsbundling-rails',
  'shakapacker',
  'vite_rails',
  'webpacker',
]

/** Not when the assets are in the repository, compiled. */
function precompiles(source: Source, gems: Gems): boolean {
  if (!isRails(gems) || !source.isFile('Rakefile')) return false
  const compiled = source
    .list('public/assets')
    .some((name) => /^\.?(sprockets-)?manifest/.test(name))
  return !compiled && pipelines.some((name) => gems.names.has(name))
}

/** The rake tasks of some call the bundler without a script of that name. */
function withBuildScript(source: Source): Source {
  return {
    ...source,
    readText: (path, maxBytes) => {
      const text = source.readText(path, maxBytes)
      if (path !== 'package.json' || text === undefined) return text
      const manifest = parsed(text)
      if (!isTable(manifest)) return text
      const scripts = isTable(manifest.scripts) ? manifest.scripts : {}
      return JSON.stringify({ ...manifest, scripts: { build: 'true', ...scripts } })
    },
  }
}

/** Undefined for what is not JSON: whoever reads the text says so. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function precompile(gems: Gems, on: string[]): Step {
  return {
    name: 'assets',
    kind: 'build',
    title: 'rake assets:precompile',
    argv: ['sh', '-c', script],
    env: {
      ...bundleEnv(gems),
      ...railsEnv(gems),
      ...databaseUrl(gems),
      NODE_ENV: 'production',
      PATH: `/app/node_modules/.bin:${systemPath}`,
      SECRET_KEY_BASE: 'only-while-assets-are-made',
      SECRET_KEY_BASE_DUMMY: '1',
      // What they would install is there.
      SKIP_BUN_INSTALL: '1',
      SKIP_YARN_INSTALL: '1',
      VITE_RUBY_SKIP_ASSETS_PRECOMPILE_INSTALL: 'true',
    },
    configKeys: ['RAILS_MASTER_KEY'],
    configPrefixes: ['VITE_'],
    inputs: { kind: 'tree', why: 'every file' },
    on,
    inImage: true,
    shareable: false,
    drop: ['log', 'node_modules', 'tmp/cache'],
    hint: 'Try it at home with: RAILS_ENV=production SECRET_KEY_BASE_DUMMY=1 rake assets:precompile',
  }
}

/** Rails starts for it and wants to know its database, which nothing of it asks. */
function databaseUrl({ names }: Gems): Record<string, string> {
  const adapter = names.has('pg') ? 'postgresql' : names.has('mysql2') ? 'mysql2' : undefined
  return adapter ? { DATABASE_URL: `${adapter}://nobody@127.0.0.1/none` } : {}
}

/** What was compiled before is kept between builds. */
const script = `set -e
if [ ! -e tmp/cache ]; then
  mkdir -p tmp ${cacheTarget}/rails
  ln -s ${cacheTarget}/rails tmp/cache
fi
exec bundle exec rake assets:precompile`
