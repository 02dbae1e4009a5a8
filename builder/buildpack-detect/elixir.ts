import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { elixirRequest } from './elixir-version.ts'
import { cacheTarget, type Detector, type LanguagePlan, type Step, systemPath } from './plan.ts'

/** Elixir by mix: a release, which carries its own Erlang. The image has neither of the two. */
export const elixir: Detector = {
  language: 'Elixir',
  looksFor: 'mix.exs',
  detect: (source) => ['mix.exs'].find((file) => source.isFile(file)),
  plan: planElixir,
}

type Mix = {
  name: string
  /** The release that mix.exs names; without one mix makes one of the app's name. */
  released: string | undefined
  text: string
  isPhoenix: boolean
  hasDependencies: boolean
}

function planElixir(source: Source): LanguagePlan {
  const mix = readMix(source)
  const { tool, warnings } = elixirRequest(source, mix.text)
  const unlocked = mix.hasDependencies && !source.isFile('mix.lock')
  const start = `_build/prod/rel/${mix.name}/bin/${mix.name} start`
  return {
    tools: [tool],
    // What Erlang itself is linked to.
    apt: {
      run: ['libncurses6', 'libsctp1', 'libssl3t64', 'libstdc++6', 'zlib1g'],
      build: ['erlang-dev', 'erlang-inets', 'erlang-ssl', 'rebar3'],
    },
    steps: [buildStep(source, mix)],
    env: {
      LANG: 'C.UTF-8',
      MIX_ENV: 'prod',
      PATH: systemPath,
      ...(mix.isPhoenix && { PHX_SERVER: 'true' }),
    },
    warnings: [
      ...warnings,
      ...(unlocked ? ['No mix.lock: versions of packages are chosen anew with every change'] : []),
    ],
    web: { command: start, from: mix.isPhoenix ? 'Phoenix in mix.exs' : 'mix.exs' },
    howToStart: `Add a Procfile with: web: ${start}`,
  }
}

function readMix(source: Source): Mix {
  const text = source.readText('mix.exs') ?? ''
  const app = /\bapp:\s*:([a-z][a-z0-9_]*)/.exec(text)?.[1]
  const released = /\breleases:\s*\[\s*([a-z][a-z0-9_]*):/.exec(text)?.[1]
  const name = released ?? app
  const dependencies = [...text.matchAll(/^\s*\{:([a-z][a-z0-9_]*),/gm)].map(([, one]) => one)
  if (name === undefined) {
    const umbrella = /\bapps_path:/.test(text)
    const what = umbrella ? 'an umbrella without a release' : 'no app'
    throw new Failure('failed', `Elixir detected, but mix.exs has ${what}`, {
      hint: umbrella
        ? 'Add to project in mix.exs: releases: [shop: [applications: [shop_web: :permanent]]]'
        : 'Name it in mix.exs: def project, do: [app: :shop, version: "1.0.0"]',
    })
  }
  return {
    name,
    released,
    text,
    isPhoenix: dependencies.includes('phoenix') || /\bphoenix\b/.test(text),
    hasDependencies: dependencies.length > 0,
  }
}

function buildStep(source: Source, { name, released, text, hasDependencies }: Mix): Step {
  const assets = /"assets\.deploy"/.test(text)
  return {
    name: 'build',
    kind: 'build',
    title: 'mix release',
    argv: [
      'sh',
      '-c',
      [
        'set -e',
        // Mix goes by times, and those of a tree that was pushed before are older.
        ...ownApps(source, name, text).map((app) => `rm -rf "$MIX_BUILD_PATH/lib/${app}"`),
        ...(hasDependencies ? fetching : []),
        'mix compile',
        ...(assets ? ['mix assets.deploy'] : []),
        'mix release "$@" --overwrite --quiet --path "$PWD/_build/prod/rel/$0"',
      ].join('\n'),
      name,
      ...(released === undefined ? [] : [released]),
    ],
    env: {
      ELIXIR_ERL_OPTIONS: '+fnu',
      HEX_HOME: `${cacheTarget}/hex`,
      MIX_BUILD_PATH: `${cacheTarget}/mix-build`,
      MIX_DEPS_PATH: `${cacheTarget}/mix-deps`,
      MIX_ENV: 'prod',
      MIX_HOME: `${cacheTarget}/mix`,
      MIX_REBAR3: '/usr/bin/rebar3',
    },
    configKeys: ['HEX_API_KEY', 'HEX_MIRROR', ...askedKeys(source)],
    configPrefixes: [],
    inputs: { kind: 'tree', why: 'every file' },
    on: [],
    inImage: true,
    shareable: false,
    drop: [],
    hint: 'Try it at home with: MIX_ENV=prod mix release',
  }
}

/** The apps whose source is in the tree: this one, those of an umbrella, those by a path. */
function ownApps(source: Source, name: string, text: string): string[] {
  const app = /\bapp:\s*:([a-z][a-z0-9_]*)/.exec(text)?.[1] ?? name
  const umbrella = source
    .list('apps')
    .filter((entry) => /^[a-z][a-z0-9_]*\/$/.test(entry))
    .map((entry) => entry.slice(0, -1))
  const byPath = [...text.matchAll(/\{:([a-z][a-z0-9_]*),[^}]*\bpath:/g)].map(([, one = '']) => one)
  return [...new Set([app, ...umbrella, ...byPath])]
}

const fetching = ['mix local.hex --force --if-missing', 'mix deps.get --only prod']

/** What config/prod.exs reads while the release is made; runtime.exs reads when it starts. */
function askedKeys(source: Source): string[] {
  const texts = ['config/config.exs', 'config/prod.exs', 'mix.exs'].map((file) => {
    return source.readText(file) ?? ''
  })
  const asked = /System\.(?:get_env|fetch_env!?)\(\s*"([A-Z][A-Z0-9_]*)"/g
  const keys = texts.flatMap((text) => [...text.matchAll(asked)].map(([, key = '']) => key))
  return [...new Set(keys)].filter((key) => key !== 'PORT')
}
