import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { commandIn, inFolder, movedTo } from './app-dir.ts'
import { bun } from './bun.ts'
import { deno } from './deno.ts'
import { go } from './go.ts'
import { readBuildpacks } from '../app-json.ts'
import type { BuildpackList } from './buildpack-address.ts'
import { buildpacks, givenBuildpacks } from './buildpacks.ts'
import { clojure } from './clojure.ts'
import { dotnet } from './dotnet.ts'
import { elixir } from './elixir.ts'
import { java } from './java.ts'
import { adviseNested } from './nested.ts'
import { node } from './node.ts'
import { readWishes, type Wishes } from './paas-toml.ts'
import { php } from './php.ts'
import type { Detector, LanguagePlan, Plan } from './plan.ts'
import { parseProcfile } from './procfile.ts'
import { python } from './python.ts'
import { ruby } from './ruby.ts'
import { procfileOnly, shell } from './shell.ts'
import { rust } from './rust.ts'
import { scala } from './scala.ts'
import { staticSite } from './static.ts'
import { withWishes } from './wishes.ts'

/** Order matters: the first whose file is there is used, and no other is tried after it. */
export const detectors: [name: string, detector: Detector][] = [
  ['buildpacks', buildpacks],
  ['php', php],
  ['go', go],
  ['java', java],
  ['scala', scala],
  ['clojure', clojure],
  ['rust', rust],
  ['ruby', ruby],
  ['elixir', elixir],
  ['python', python],
  ['deno', deno],
  ['dotnet', dotnet],
  ['bun', bun],
  ['node', node],
  ['static', staticSite],
  ['shell', shell],
  ['procfile', procfileOnly],
]

/**
 * Decides how a tree is built. `builder` is the user's own choice: `detect` or the name of a
 * detector; then the buildpacks that the user has set; then `builder` in paas.toml; without any of
 * them .buildpacks in the tree is one. A Dockerfile, which comes before that, is not for here.
 * `appDir` wins over that of paas.toml. Throws a Failure when nothing fits, and when what fits
 * cannot be built.
 */
export function detect(
  source: Source,
  builder?: string,
  set?: BuildpackList,
  appDir?: string,
): Plan {
  const wished = readWishes(source)
  const wishes = { ...wished, appDir: appDir ?? wished.appDir }
  const app = inFolder(source, wishes.appDir)
  const { detector, because } = decide({ source, app }, { builder, set, wished: wishes.builder })
  const given = givenProcesses(app, wishes)
  const around = {
    root: source,
    folder: wishes.appDir,
    processes: given?.processes,
    buildCommand: wishes.buildCommand,
  }
  const plan = withWishes(movedTo(wishes.appDir, detector.plan(app, around)), wishes)
  const { tools, steps, env, warnings, apt = { run: [], build: [] } } = plan
  const { processes, processesFrom } = given
    ? inItsFolder(given, wishes)
    : ownProcesses(detector, plan)
  const isKnown = 'web' in processes || plan.release !== undefined
  const noWeb = isKnown ? [] : [`No web process in ${processesFrom}: nothing will answer requests`]
  return {
    language: detector.language,
    because: wishes.appDir === '' ? because : `${because} in ${wishes.appDir}/`,
    tools,
    apt,
    userApt: wishes.apt,
    steps,
    processes,
    processesFrom,
    env,
    warnings: [...warnings, ...noWeb],
    ...(plan.release && { release: plan.release }),
    ...(plan.profile && { profile: plan.profile }),
    ...(wishes.base !== undefined && { base: wishes.base }),
  }
}

type Decision = { detector: Detector; because: string }

/** Who says how to build, in order. `wished` is `builder` of paas.toml. */
function decide(
  { source, app }: { source: Source; app: Source },
  o: { builder: string | undefined; set: BuildpackList | undefined; wished: string | undefined },
): Decision {
  const { builder, set, wished } = o
  const wantsBuildpacks = builder === undefined || builder === 'buildpacks'
  if (set && wantsBuildpacks) return { detector: givenBuildpacks(set), because: set.from }
  const name = builder ?? wished
  if ((name === undefined || name === 'buildpacks') && !app.isFile('.buildpacks')) {
    const addresses = readBuildpacks(source)
    const from = 'buildpacks in app.json'
    if (addresses.length > 0) {
      return { detector: givenBuildpacks({ addresses, from }), because: from }
    }
  }
  return choose(app, name)
}

/** Whoever wants a language detected wants it instead of buildpacks. */
function choose(source: Source, builder: string | undefined): Decision {
  if (builder !== undefined && builder !== 'detect') return chosen(source, builder)
  for (const [name, detector] of detectors) {
    if (name === 'buildpacks' && builder === 'detect') continue
    const because = detector.detect(source)
    if (because) return { detector, because }
  }
  throw nothingDetected(source)
}

function chosen(source: Source, builder: string): Decision {
  const detector = detectors.find(([name]) => name === builder)?.[1]
  if (!detector) {
    const names = builderNames().join(', ')
    throw new Failure('failed', `The builder is "${printable(builder)}": expected one of ${names}`)
  }
  const because = detector.detect(source)
  if (because) return { detector, because: `${because}, builder ${builder}` }
  throw new Failure('failed', `The builder is ${builder}, but there is no ${detector.looksFor}`)
}

type Processes = Pick<Plan, 'processes' | 'processesFrom'>

/** What the user says to start: paas.toml before a Procfile. */
function givenProcesses(source: Source, { processes }: Wishes): Processes | undefined {
  if (processes) return { processes, processesFrom: 'paas.toml' }
  const procfile = source.readText('Procfile', 65536)
  return procfile === undefined
    ? undefined
    : { processes: parseProcfile(procfile), processesFrom: 'Procfile' }
}

function inItsFolder({ processes, processesFrom }: Processes, { appDir }: Wishes): Processes {
  const commands = Object.entries(processes).map(([type, command]) => {
    return [type, commandIn(appDir, command)]
  })
  return { processes: Object.fromEntries(commands), processesFrom }
}

function ownProcesses({ language }: Detector, plan: LanguagePlan): Processes {
  if (plan.release) return { processes: {}, processesFrom: 'bin/release of the buildpacks' }
  if (plan.web) return { processes: { web: plan.web.command }, processesFrom: plan.web.from }
  throw new Failure('failed', `${language} detected, but nothing says how to start it`, {
    hint: plan.howToStart,
  })
}

function nothingDetected(source: Source): Failure {
  const names = source.list()
  const shown = names.slice(0, 20).map(printable).join('  ')
  const more = names.length > 20 ? ` and ${names.length - 20} more` : ''
  const nested = adviseNested(
    source,
    detectors.map(([, detector]) => detector),
  )
  return new Failure('failed', 'Could not tell how to build this app', {
    hint: nested ?? 'Add one of the files below to the top of the repository, and push again',
    details: [
      `Files seen: ${shown}${more}`,
      ...detectors.map(([, detector]) => `${detector.language}: ${detector.looksFor}`),
    ],
  })
}

/** What may be chosen; a Dockerfile is nothing to detect in, but a choice like the others. */
export function builderNames(): string[] {
  return ['detect', dockerfileBuilder, ...detectors.map(([name]) => name)]
}

export const dockerfileBuilder = 'dockerfile'

/** For people who read what was detected, and want another thing. */
export const otherBuilder = 'To build it otherwise: builder:set <app> NAME, or builder in paas.toml'
