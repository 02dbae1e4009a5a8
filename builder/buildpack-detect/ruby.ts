import type { Source } from '../source/source.ts'
import { type Detector, type LanguagePlan, systemPath } from './plan.ts'
import { readGems } from './ruby-gems.ts'
import { bundleEnv, bundleStep } from './ruby-bundle.ts'
import { gemPackages, rackPackages } from './ruby-packages.ts'
import { railsEnv, railsSteps } from './ruby-rails.ts'
import { rubyRequest } from './ruby-version.ts'
import { rubyWeb } from './ruby-web.ts'

/** Ruby: Bundler installs into /app/vendor/bundle; Rails, Rack and plain programs are started. */
export const ruby: Detector = {
  language: 'Ruby',
  looksFor: 'Gemfile, gems.rb or config.ru',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planRuby,
}

const markers = ['Gemfile', 'gems.rb', 'config.ru']

function planRuby(source: Source): LanguagePlan {
  const gems = readGems(source)
  const { tool, warnings } = rubyRequest(source, gems)
  const install = gems.file === undefined ? [] : [bundleStep(source, gems)]
  const rails = railsSteps(source, gems, install)
  return {
    tools: [tool, ...rails.tools],
    apt: gems.file === undefined ? rackPackages : gemPackages(gems.names),
    steps: [...install, ...rails.steps],
    env: {
      LANG: 'C.UTF-8',
      // Fewer arenas: threads of Ruby wait for each other, and memory stays small.
      MALLOC_ARENA_MAX: '2',
      RACK_ENV: 'production',
      ...railsEnv(gems),
      ...(gems.file !== undefined && bundleEnv(gems)),
      PATH: systemPath,
    },
    warnings: [...warnings, ...gems.warnings, ...rails.warnings],
    web: rubyWeb(source, gems),
    howToStart: 'Add a config.ru, or a Procfile with: web: bundle exec ruby app.rb',
  }
}
