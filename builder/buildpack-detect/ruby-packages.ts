import type { AptPackages } from './plan.ts'

/** Debian packages that gems with a part in C are built with, and those that they run on. */
export function gemPackages(names: ReadonlySet<string>): AptPackages {
  const wanted = Object.entries(packagesOf).filter(([gem]) => names.has(gem))
  return {
    run: wanted.flatMap(([, { run }]) => run),
    build: wanted.flatMap(([, { build }]) => build),
  }
}

/** A config.ru without a Gemfile runs on Debian's own Rack and Puma. */
export const rackPackages: AptPackages = { run: ['puma', 'ruby-rack'], build: [] }

const packagesOf: Record<string, AptPackages> = {
  charlock_holmes: { run: ['libicu76'], build: ['libicu-dev', 'zlib1g-dev'] },
  curb: { run: ['libcurl4t64'], build: ['libcurl4-openssl-dev'] },
  ffi: { run: ['libffi8'], build: ['libffi-dev'] },
  'idn-ruby': { run: ['libidn12'], build: ['libidn-dev'] },
  mini_magick: { run: ['imagemagick'], build: [] },
  mysql2: { run: ['libmariadb3'], build: ['libmariadb-dev'] },
  nokogiri: { run: ['libxml2', 'libxslt1.1'], build: ['libxml2-dev', 'libxslt1-dev'] },
  pg: { run: ['libpq5'], build: ['libpq-dev'] },
  psych: { run: ['libyaml-0-2'], build: ['libyaml-dev'] },
  rmagick: { run: ['imagemagick'], build: ['libmagickwand-dev'] },
  'ruby-vips': { run: ['libvips42t64'], build: [] },
  rugged: { run: ['libssl3t64'], build: ['cmake', 'libssl-dev'] },
  sqlite3: { run: ['libsqlite3-0'], build: ['libsqlite3-dev'] },
}
