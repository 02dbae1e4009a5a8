import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'
import { driver, installed, releaseFile } from './buildpack-driver.ts'
import {
  type BuildpackAddress,
  type BuildpackList,
  buildpacksMost,
  parseBuildpack,
} from './buildpack-address.ts'
import { cacheTarget, type Detector, type LanguagePlan, systemPath } from './plan.ts'

/** Buildpacks of Heroku's kind, named in .buildpacks: one a line, in order. */
export const buildpacks: Detector = {
  language: 'Buildpacks',
  looksFor: '.buildpacks',
  detect: (source) => (source.isFile('.buildpacks') ? '.buildpacks' : undefined),
  plan: (source) => planBuildpacks(source, readList(source)),
}

/** Those of a list from elsewhere: `buildpacks:set`, BUILDPACK_URL, app.json. */
export function givenBuildpacks(list: BuildpackList): Detector {
  return {
    ...buildpacks,
    detect: () => list.from,
    plan: (source) => planBuildpacks(source, list.addresses),
  }
}

function readList(source: Source): string[] {
  const lines = (source.readText('.buildpacks', 65536) ?? '').split(/\r?\n/)
  const list = lines.map((line) => line.replace(/^\s*#.*$/, '').trim()).filter(Boolean)
  if (list.length > 0) return list
  throw new Failure('failed', '.buildpacks names no buildpack', {
    hint: 'Write one address a line, such as heroku/nodejs, or remove .buildpacks',
  })
}

function planBuildpacks(source: Source, list: string[]): LanguagePlan {
  if (list.length > buildpacksMost) {
    throw new Failure('failed', `${list.length} buildpacks: at most ${buildpacksMost} are run`)
  }
  const packs = list.map(parseBuildpack)
  for (const pack of packs) refuseMissing(source, pack)
  const title = packs.length === 1 ? 'Running the buildpack' : `Running ${packs.length} buildpacks`
  return {
    tools: packs.flatMap((pack, index) => (pack.kind === 'git' ? [toolOf(pack, index)] : [])),
    apt: usualPackages,
    steps: [
      {
        name: 'buildpacks',
        kind: 'build',
        title,
        argv: ['bash', '-c', driver, 'bash', ...packs.flatMap(placeOf)],
        env: { STACK: 'heroku-24', BUILDPACK_CACHE: `${cacheTarget}/buildpacks` },
        configKeys: [],
        configPrefixes: [''],
        configFiles: true,
        inputs: { kind: 'tree', why: 'every file' },
        on: [],
        inImage: true,
        shareable: false,
        drop: [],
        hint: 'Which buildpacks are used, and in which order: buildpacks:list <app>, or .buildpacks',
      },
    ],
    env: { HOME: '/app', LANG: 'C.UTF-8', PATH: systemPath },
    warnings: [],
    web: undefined,
    release: { step: 'buildpacks', file: releaseFile },
    profile: true,
    howToStart: 'Add a Procfile with: web: …',
  }
}

/** What buildpacks expect of Heroku's stack and Debian's lacks; `apt` in paas.toml adds more. */
const usualPackages = {
  run: ['curl', 'libpq5', 'libreadline8t64', 'libssl3t64', 'libyaml-0-2'],
  build: ['file', 'jq', 'libpq-dev', 'libssl-dev', 'zip'],
}

function toolOf({ url, ref, shown }: BuildpackAddress & { kind: 'git' }, index: number) {
  return {
    tool: `buildpack-${index + 1}`,
    constraint: undefined,
    pin: undefined,
    choose: 'the address with #branch, #tag or #commit',
    inImage: false,
    git: { url, ref, shown, into: installed(index + 1) },
  }
}

/** The arguments of the driver for one buildpack: where it lies, and its name for people. */
function placeOf(pack: BuildpackAddress, index: number): [place: string, shown: string] {
  if (pack.kind === 'folder') return [`./${pack.path}`, pack.shown]
  return [`/${installed(index + 1)}`, pack.shown]
}

function refuseMissing(source: Source, pack: BuildpackAddress): void {
  if (pack.kind === 'git' || source.isFile(`${pack.path}/bin/compile`)) return
  throw new Failure('failed', `The buildpack ${pack.shown} has no bin/compile in the repository`)
}
