import type { Source } from '../source/source.ts'
import { cacheTarget, type Step, type StepInputs, type VersionText } from './plan.ts'
import { localIn } from './python-local.ts'
import { packageName, readRequirements } from './python-requirements.ts'
import { pythonVersion } from './python-version.ts'
import { readToml, table } from './toml.ts'

/** Who installs a tree's packages, and what it was told of them. */
export type Manager = {
  step: Step | undefined
  /** Debian packages that the manager itself is. */
  packages: string[]
  /** Names of the packages asked for, as `packageName` writes them. */
  names: Set<string>
  requires: VersionText | undefined
  pipfile: VersionText | undefined
  warnings: string[]
}

/** The lockfiles in order: the first that is there decides, and a warning names the others. */
const lockfiles = ['uv.lock', 'poetry.lock', 'Pipfile.lock', 'requirements.txt']

export function findManager(source: Source): Manager {
  const present = lockfiles.filter((file) => source.isFile(file))
  const [lockfile, ...others] = present
  const project = readProject(source)
  const pipfile = readToml(source, 'Pipfile')
  const version = text(table(pipfile, 'requires').python_version)
  const wanted = Object.keys(table(pipfile, 'packages'))
  const ofPipfile = lockfile === 'Pipfile.lock' || (!lockfile && wanted.length > 0)
  const step = ofPipfile ? pipenvStep(source) : installStep(source, lockfile, project)
  const requirements =
    lockfile === 'requirements.txt' ? readRequirements(source, lockfile).names : []
  return {
    step,
    packages: ofPipfile ? ['pipenv'] : lockfile === 'poetry.lock' ? ['python3-poetry'] : [],
    names: new Set([...requirements, ...project.names, ...wanted.map(packageName)]),
    requires: project.requires,
    pipfile: version === undefined ? undefined : pythonVersion(version, 'Pipfile'),
    warnings: [
      ...others.map((other) => `${lockfile} and ${other} are both there: ${lockfile} is used`),
      ...(step && !lockfile
        ? ['No lockfile: versions of packages are chosen anew with every change']
        : []),
    ],
  }
}

type Project = {
  names: string[]
  requires: VersionText | undefined
  /** Whether the tree is itself a package to be installed. */
  isPackage: boolean
  hasDependencies: boolean
}

function readProject(source: Source): Project {
  const document = readToml(source, 'pyproject.toml')
  const project = table(document, 'project')
  const poetry = table(table(document, 'tool'), 'poetry')
  const declared = Array.isArray(project.dependencies) ? project.dependencies : []
  const names = [
    ...declared.flatMap((one) => /^[A-Za-z0-9][\w.-]*/.exec(String(one))?.[0] ?? []),
    ...Object.keys(table(poetry, 'dependencies')).filter((name) => name !== 'python'),
  ]
  const standard = text(project['requires-python'])
  const own = text(table(poetry, 'dependencies').python)
  const asked: [string | undefined, string] =
    standard === undefined
      ? [own, 'python in pyproject.toml']
      : [standard, 'requires-python in pyproject.toml']
  return {
    names: names.map(packageName),
    requires: asked[0] === undefined ? undefined : pythonVersion(asked[0], asked[1]),
    isPackage: source.isFile('setup.py') || 'build-system' in document,
    hasDependencies: names.length > 0,
  }
}

function installStep(
  source: Source,
  lockfile: string | undefined,
  project: Project,
): Step | undefined {
  if (lockfile === 'uv.lock') {
    return locked(source, lockfile, 'uv sync --frozen --no-dev --no-install-project', uvScript)
  }
  if (lockfile === 'poetry.lock') {
    return locked(source, lockfile, 'poetry install --only main --no-root', poetryScript)
  }
  if (lockfile === 'requirements.txt') return pipStep(source)
  if (!project.isPackage && !project.hasDependencies) return undefined
  const inputs: StepInputs = { kind: 'tree', why: 'the project itself is installed' }
  return installBy({ title: 'pip install .', script: projectScript, inputs, hint: pipHint })
}

function pipenvStep(source: Source): Step {
  if (source.isFile('Pipfile.lock')) {
    return locked(source, 'Pipfile.lock', 'pipenv sync', pipenvScript('sync'))
  }
  return {
    ...locked(source, 'Pipfile', 'pipenv install', pipenvScript('install')),
    hint: 'Try it at home with: pipenv lock; commit Pipfile.lock, push again',
  }
}

function pipStep(source: Source): Step | undefined {
  const { reads, local, configKeys, names, exact } = readRequirements(source, 'requirements.txt')
  if (names.size === 0 && reads.length === 1 && !local) return undefined
  const inputs = inputsOf(source, 'requirements.txt', reads, local)
  const title = 'pip install -r requirements.txt'
  const shareable = exact && inputs.kind === 'files'
  return installBy({ title, script: pipScript, inputs, hint: pipHint, configKeys, shareable })
}

function locked(source: Source, lockfile: string, title: string, script: string): Step {
  const files = [lockfile, 'pyproject.toml', 'Pipfile', 'uv.toml', 'poetry.toml']
  const inputs = inputsOf(source, lockfile, files, localIn(source, lockfile))
  const hint = `If ${lockfile} is out of date: make it anew, commit it, push again`
  const shareable = lockfile !== 'Pipfile' && inputs.kind === 'files'
  return installBy({ title, script, inputs, hint, shareable })
}

function inputsOf(source: Source, file: string, reads: string[], local?: string): StepInputs {
  if (local) return { kind: 'tree', why: `${local} in ${file} lies in the repository` }
  const copy = [...new Set(reads)].filter((path) => path.endsWith('/') || source.isFile(path))
  return { kind: 'files', why: file, copy }
}

function installBy(o: {
  title: string
  script: string
  inputs: StepInputs
  hint: string
  configKeys?: string[]
  shareable?: boolean
}): Step {
  return {
    name: 'dependencies',
    kind: 'dependencies',
    title: o.title,
    argv: ['sh', '-c', o.script],
    env: {
      PIP_CACHE_DIR: `${cacheTarget}/pip`,
      PIP_DISABLE_PIP_VERSION_CHECK: '1',
      PIP_NO_INPUT: '1',
      PIP_PROGRESS_BAR: 'off',
      PIPENV_CACHE_DIR: `${cacheTarget}/pipenv`,
      PIPENV_NOSPIN: '1',
      PIPENV_VENV_IN_PROJECT: '1',
      POETRY_CACHE_DIR: `${cacheTarget}/poetry`,
      POETRY_VIRTUALENVS_IN_PROJECT: '1',
      // Compiled files then say by a hash what they were made from, and are the same every time.
      SOURCE_DATE_EPOCH: '315532800',
      UV_CACHE_DIR: `${cacheTarget}/uv`,
      UV_LINK_MODE: 'copy',
      UV_PYTHON_DOWNLOADS: 'never',
    },
    configKeys: [...new Set([...indexKeys, ...(o.configKeys ?? [])])],
    configPrefixes: [],
    inputs: o.inputs,
    on: [],
    inImage: true,
    shareable: o.shareable ?? false,
    drop: [],
    hint: o.hint,
  }
}

/** Where packages come from may hold a token. */
const indexKeys = ['PIP_INDEX_URL', 'PIP_EXTRA_INDEX_URL', 'UV_INDEX_URL', 'UV_EXTRA_INDEX_URL']

const pipHint =
  'Try it at home with: python -m venv .venv && .venv/bin/pip install -r requirements.txt'

const makeVenv = 'set -e; python3 -m venv .venv'
const pipScript = `${makeVenv}; .venv/bin/pip install --no-warn-script-location -r requirements.txt`
const projectScript = `${makeVenv}; .venv/bin/pip install .`
const uvScript = `set -e; python3 -m venv /tmp/uv; /tmp/uv/bin/pip install --quiet uv
/tmp/uv/bin/uv sync --frozen --no-dev --no-install-project --python /usr/bin/python3`
const poetryScript = 'set -e; poetry install --no-interaction --only main --no-root'
const pipenvScript = (command: string) => `set -e; pipenv ${command} --python /usr/bin/python3`

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
