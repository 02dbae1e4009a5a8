import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { appendFile, chown, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser, type PaasConfig } from '../../core/config.ts'
import { errno, Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Layer, Say } from '../../core/types.ts'
import { ensureLayer } from '../layers/layers.ts'

/** The suite of both stacks: what is compiled on one runs on the other, for they share a libc. */
export const suite = 'trixie'

export type Stacks = {
  /** The lowest layer of every image. */
  run: Layer
  /** What builds run on: the same suite, with compilers. Never part of an image. */
  build: Layer
}

const runPackages = ['ca-certificates', 'netbase', 'tzdata']
const buildPackages = [
  ...runPackages,
  'build-essential',
  'curl',
  'git',
  'pkg-config',
  'python3',
  'unzip',
  'xz-utils',
]

/** What a stack has beyond its packages. A change of it is a change of every stack's key. */
const recipe = {
  format: 1,
  apt: ['Acquire::Languages "none"', 'APT::Install-Recommends "false"'],
  /** Left out by dpkg, now and whenever a package is added to a container. */
  leftOut: ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/info/*', '/usr/share/locale/*/*'],
  user: `app:x:${appUser}:${appUser}:app:/app:/bin/sh`,
  group: `app:x:${appUser}:`,
}

/** The names of the stacks that builds of this instance use now, without making them. */
export function stackLayers(config: PaasConfig): Stacks {
  return stacksOf(readGeneration(config))
}

/**
 * The stacks of one generation: the time they were asked for, as `newGeneration` writes it, or
 * undefined for those a host begins with. Keys change with it and with the recipe.
 */
export function stacksOf(generation: string | undefined): Stacks {
  return {
    run: stackLayer('run', runPackages, generation),
    build: stackLayer('build', buildPackages, generation),
  }
}

/** Makes both stacks unless the host has them: about 40 s and 600 MB, once per host. */
export async function ensureStack(
  config: PaasConfig,
  say: Say,
  signal: AbortSignal = new AbortController().signal,
  stacks: Stacks = stackLayers(config),
): Promise<Stacks> {
  await ensureOne(config, stacks.run, runPackages, say, signal)
  await ensureOne(config, stacks.build, buildPackages, say, signal)
  return stacks
}

const generationFormat = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)\d\d$/

/** `20261121T093512`, in UTC. */
export function newGeneration(at = new Date()): string {
  return at.toISOString().slice(0, 19).replace(/[-:]/g, '')
}

function readGeneration(config: PaasConfig): string | undefined {
  try {
    const text = readFileSync(paths(config).stackGeneration, 'utf8').trim()
    if (generationFormat.test(text)) return text
    throw new Error(`${paths(config).stackGeneration} does not hold the time of a stack`)
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}

function stackLayer(name: 'run' | 'build', packages: string[], generation?: string): Layer {
  const text = JSON.stringify([suite, process.arch, recipe, packages])
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16)
  const [, year, month, day, hour, minute] = generationFormat.exec(generation ?? '') ?? []
  const made = year === undefined ? '' : ` of ${year}-${month}-${day} ${hour}:${minute}`
  return {
    kind: 'stack',
    key: `stack-${suite}-${name}-${hash}${generation === undefined ? '' : `-${generation}`}`,
    label: `Debian ${suite} (${name})${made}`,
  }
}

async function ensureOne(
  config: PaasConfig,
  layer: Layer,
  packages: string[],
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now()
  const outcome = await ensureLayer(config, {
    layer,
    signal,
    make: async (dir) => {
      say(`       stack: making ${layer.label}, once per host`)
      await exec('mmdebstrap', debootstrapArgs(dir, packages), { signal, timeoutMs: 10 * 60_000 })
      await finish(dir)
    },
  })
  if (outcome === 'made') {
    say(`       stack: ${layer.label} ready (${((performance.now() - began) / 1000).toFixed(1)} s)`)
  }
}

/**
 * The mirror is mmdebstrap's own choice for the suite; the keyring package is there on Ubuntu too.
 */
function debootstrapArgs(dir: string, packages: string[]): string[] {
  return [
    '--quiet',
    '--variant=minbase',
    '--mode=root',
    `--keyring=${debianKeyring()}`,
    `--include=${packages.join(',')}`,
    ...recipe.apt.map((option) => `--aptopt=${option}`),
    ...recipe.leftOut.map((glob) => `--dpkgopt=path-exclude=${glob}`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    suite,
    dir,
  ]
}

/** The file of the package debian-archive-keyring, which changed its ending over the years. */
export function debianKeyring(): string {
  const names = ['gpg', 'pgp'].map(
    (ending) => `/usr/share/keyrings/debian-archive-keyring.${ending}`,
  )
  const found = names.find((name) => existsSync(name))
  if (found) return found
  throw new Failure('failed', 'Could not make the stack: the keys of Debian are not installed', {
    hint: 'apt-get install debian-archive-keyring',
  })
}

async function finish(dir: string): Promise<void> {
  await appendFile(join(dir, 'etc/passwd'), `${recipe.user}\n`)
  await appendFile(join(dir, 'etc/group'), `${recipe.group}\n`)
  await mkdir(join(dir, 'app'))
  await chown(join(dir, 'app'), appUser, appUser)
  // The host's own name and resolver are put in place when a container starts.
  await rm(join(dir, 'etc/resolv.conf'), { force: true })
  await writeFile(join(dir, 'etc/resolv.conf'), '')
  await writeFile(join(dir, 'etc/hostname'), 'app\n')
  await writeFile(join(dir, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n')
}
