import type { Source } from '../source/source.ts'
import {
  type AptPackages,
  cacheTarget,
  type Detector,
  type LanguagePlan,
  type Step,
  systemPath,
} from './plan.ts'
import { type Crates, readCrates } from './rust-crates.ts'
import { rustRequest } from './rust-version.ts'
import { isTable, readToml, table } from './toml.ts'

/** Rust by cargo: the programs of the tree alone are in the image, no toolchain, no libraries. */
export const rust: Detector = {
  language: 'Rust',
  looksFor: 'Cargo.toml',
  detect: (source) => ['Cargo.toml'].find((file) => source.isFile(file)),
  plan: planRust,
}

function planRust(source: Source): LanguagePlan {
  const manifest = readToml(source, 'Cargo.toml')
  const crates = readCrates(source, manifest)
  const { tool, warnings } = rustRequest(source, manifest)
  const locked = source.isFile('Cargo.lock')
  return {
    tools: [tool],
    apt: systemLibraries(source),
    steps: [buildStep(source, crates, locked)],
    env: { LANG: 'C.UTF-8', PATH: `/app/target/release:${systemPath}` },
    warnings: [
      ...warnings,
      ...(locked ? [] : ['No Cargo.lock: versions of crates are chosen anew with every change']),
    ],
    web: webOf(crates),
    howToStart: howToStart(crates),
  }
}

function buildStep(source: Source, { programs }: Crates, locked: boolean): Step {
  const cargo = readToml(source, '.cargo/config.toml')
  const target = table(cargo, 'build').target
  const made = typeof target === 'string' ? `${target}/release` : 'release'
  const options = ['--release', ...(locked ? ['--locked'] : [])]
  if (isVendored(cargo)) options.push('--offline')
  const title = `cargo build ${options.join(' ')}`
  return {
    name: 'build',
    kind: 'build',
    title,
    argv: ['sh', '-c', script(title), made, ...programs],
    env: {
      CARGO_HOME: `${cacheTarget}/cargo`,
      CARGO_TARGET_DIR: `${cacheTarget}/cargo-target`,
      CARGO_NET_GIT_FETCH_WITH_CLI: 'true',
      CARGO_TERM_PROGRESS_WHEN: 'never',
    },
    configKeys: [],
    configPrefixes: ['CARGO_REGISTRIES_', 'CARGO_PROFILE_'],
    inputs: { kind: 'tree', why: 'every file' },
    on: [],
    inImage: true,
    shareable: false,
    drop: [],
    hint: `Try it at home with: ${title}`,
  }
}

/**
 * What cargo compiled before stays in the cache; the programs go where everyone looks for them.
 * The tree's own crates are always compiled: cargo goes by times, and those of a tree that was
 * pushed before are older than what was compiled since.
 */
const script = (cargo: string) => `set -e
if [ -d "$CARGO_TARGET_DIR" ]; then
  cargo metadata --no-deps --format-version 1 |
  python3 -c 'import json, sys
for one in json.load(sys.stdin)["packages"]: print(one["name"])' |
  while IFS= read -r name; do
    for made in "$0" release; do
      rm -rf "$CARGO_TARGET_DIR/$made/.fingerprint/$name"-[0-9a-f]*
    done
  done
fi
${cargo}
mkdir -p target/release
for program in "$@"; do cp "$CARGO_TARGET_DIR/$0/$program" target/release/; done`

/** `cargo vendor` has cargo read a directory in place of the registry. */
function isVendored(cargo: Record<string, unknown>): boolean {
  const replaced = table(table(cargo, 'source'), 'crates-io')['replace-with']
  const found = table(cargo, 'source')[String(replaced)]
  return isTable(found) && 'directory' in found
}

/** Crates that bind to a library of the system, and the packages that have it. */
const bindings: Record<string, AptPackages> = {
  'openssl-sys': { run: ['libssl3t64'], build: ['libssl-dev'] },
  'pq-sys': { run: ['libpq5'], build: ['libpq-dev'] },
  'libsqlite3-sys': { run: ['libsqlite3-0'], build: ['libsqlite3-dev'] },
  'mysqlclient-sys': { run: ['libmariadb3'], build: ['libmariadb-dev'] },
}

function systemLibraries(source: Source): AptPackages {
  const lock = source.readText('Cargo.lock', 8 * 1024 * 1024) ?? ''
  const used = Object.entries(bindings)
    .filter(([name]) => lock.includes(`name = "${name}"\n`))
    .map(([, packages]) => packages)
  return { run: used.flatMap(({ run }) => run), build: used.flatMap(({ build }) => build) }
}

function webOf({ programs, preferred, dependencies }: Crates): LanguagePlan['web'] {
  const program = preferred ?? (programs.length === 1 ? programs[0] : undefined)
  if (program === undefined) return undefined
  const port = dependencies.has('rocket') ? 'env ROCKET_ADDRESS=0.0.0.0 ROCKET_PORT=$PORT ' : ''
  return { command: `${port}target/release/${program}`, from: 'Cargo.toml' }
}

function howToStart({ programs }: Crates): string {
  const shown = programs.slice(0, 10).join(', ')
  return `Its programs: ${shown}\nAdd a Procfile with: web: target/release/${programs[0]}`
}
