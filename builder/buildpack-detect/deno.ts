import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import { parseJson } from '../json-document.ts'
import type { Source } from '../source/source.ts'
import { pinOf } from './bun-version.ts'
import { ownRegistryEnv, registryKeys } from './node-registry.ts'
import { cacheTarget, type Detector, type LanguagePlan, type Step, systemPath } from './plan.ts'
import { isTable, table, type Table } from './toml.ts'

/** Deno: deno.json; its modules are in the image, and nothing is fetched at a start. */
export const deno: Detector = {
  language: 'Deno',
  looksFor: 'deno.json, deno.jsonc or deno.lock',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planDeno,
}

const markers = ['deno.json', 'deno.jsonc', 'deno.lock']

type Project = { source: Source; file: string; settings: Table; tasks: Table; entry?: string }

function planDeno(source: Source): LanguagePlan {
  const project = readProject(source)
  const pin = pinOf(source, { file: '.deno-version', tool: 'deno', name: 'Deno' })
  const lock = source.isFile('deno.lock')
  const steps = [installStep(project, lock), ...buildSteps(project)]
  const web = webCommand(project)
  return {
    tools: [
      {
        tool: 'deno',
        constraint: engines(source),
        pin: pin ?? pinOf(source, { file: '.dvmrc', tool: 'deno', name: 'Deno' }),
        choose: '.deno-version with a line such as 2.9',
        inImage: true,
      },
    ],
    steps,
    env: {
      DENO_DIR: moduleFolder,
      DENO_NO_UPDATE_CHECK: '1',
      PATH: `/app/node_modules/.bin:${systemPath}`,
    },
    warnings: lock ? [] : ['No deno.lock: versions of modules are chosen anew when they change'],
    web,
    howToStart: `Add a task "start" to ${project.file}, or a Procfile with: web: deno run -A main.ts`,
  }
}

/** Below /app, so that it comes into the image. */
const moduleFolder = '/app/.deno'

function readProject(source: Source): Project {
  const file = ['deno.json', 'deno.jsonc'].find((name) => source.isFile(name)) ?? 'deno.json'
  const text = source.readText(file, 1024 * 1024)
  const value = text === undefined ? {} : parseJson(file, text).value
  if (!isTable(value)) {
    throw new Failure('failed', `${file} holds no object`, { hint: `Write at least {} in ${file}` })
  }
  const entry = entries.find((name) => source.isFile(name))
  return { source, file, settings: value, tasks: table(value, 'tasks'), ...(entry && { entry }) }
}

const entries = ['main', 'server', 'mod', 'index', 'app', 'src/main', 'src/server'].flatMap(
  (name) => ['ts', 'tsx', 'js', 'mjs'].map((suffix) => `${name}.${suffix}`),
)

/** A task is a command, or an object with one. */
function taskOf({ tasks }: Project, name: string): string | undefined {
  const task = tasks[name]
  const command = isTable(task) ? task.command : task
  return typeof command === 'string' && command.trim() !== '' ? command.trim() : undefined
}

function webCommand(project: Project): LanguagePlan['web'] {
  const task = taskOf(project, 'start')
  if (task) {
    // `deno serve` knows no PORT.
    const serve = /^deno serve (.*)$/.exec(task)?.[1]
    const plain = serve && !/--port|[;&|<>()`]/.test(serve)
    const command = plain ? `${denoServe} ${serve}` : 'deno task start'
    return { command, from: `the task "start" in ${project.file}` }
  }
  const { entry, source } = project
  if (!entry) return undefined
  const text = source.readText(entry) ?? ''
  const command = /^export default \{[^]*\bfetch\b/m.test(text)
    ? `${denoServe} -A ${entry}`
    : `deno run -A ${entry}`
  return { command, from: entry }
}

const denoServe = 'deno serve --host 0.0.0.0 --port $PORT'

function engines(source: Source): LanguagePlan['tools'][number]['constraint'] {
  const text = /"engines"\s*:\s*\{[^}]*"deno"\s*:\s*"([^"]+)"/.exec(
    source.readText('package.json') ?? '',
  )?.[1]
  if (text === undefined) return undefined
  const range = semver.validRange(text)
  if (range) return { text: printable(text), range, from: 'engines.deno in package.json' }
  throw new Failure('failed', `engines.deno in package.json says "${printable(text)}": no version`)
}

/** What deno.json and the lockfile name. Modules that code imports by address come after it. */
function installStep({ source, file, settings }: Project, lock: boolean): Step {
  const map = typeof settings.importMap === 'string' ? [settings.importMap] : []
  const read = [
    file,
    'deno.lock',
    'package.json',
    '.npmrc',
    ...map.map((one) => one.replace(/^\.\//, '')),
  ]
  const local = Array.isArray(settings.workspace) || isTable(settings.workspace)
  const title = `deno install${lock ? ' --frozen' : ''}`
  return {
    ...common,
    name: 'dependencies',
    kind: 'dependencies',
    title,
    argv: title.split(' '),
    env: { ...stepEnv, ...ownRegistryEnv(source, { berry: false }) },
    configKeys: [...registryKeys(source), 'DENO_AUTH_TOKENS'],
    inputs: local
      ? { kind: 'tree', why: `workspace in ${file}` }
      : {
          kind: 'files',
          why: lock ? 'deno.lock' : file,
          copy: read.filter((name) => source.isFile(name)),
        },
    on: [],
    shareable: lock && !local,
    drop: caches,
    hint: 'If deno.lock is out of date: deno install, commit deno.lock, push again',
  }
}

/** The task `build`; and what the code that starts imports by address. */
function buildSteps(project: Project): Step[] {
  const { entry, file } = project
  const task = taskOf(project, 'build')
  const cached = !task && entry ? entry : undefined
  if (!task && !cached) return []
  const title = task ? 'deno task build' : `deno cache ${cached}`
  return [
    {
      ...common,
      name: 'build',
      kind: 'build',
      title,
      argv: title.split(' '),
      env: stepEnv,
      configKeys: ['DENO_AUTH_TOKENS'],
      inputs: { kind: 'tree', why: 'every file' },
      on: ['dependencies'],
      drop: caches,
      hint: task
        ? `It is the task "build" in ${file}; try it at home`
        : `Try it at home with: ${title}`,
    },
  ]
}

const common = { configPrefixes: [], inImage: true, shareable: false }

const stepEnv = { DENO_DIR: moduleFolder, XDG_CACHE_HOME: `${cacheTarget}/deno` }

/** What Deno makes anew from modules, with times in it. */
const caches = ['check', 'dep_analysis', 'node_analysis']
  .flatMap((name) => ['', '-shm', '-wal'].map((end) => `.deno/${name}_cache_v2${end}`))
  .concat('.deno/gen')
