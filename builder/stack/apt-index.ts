import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { errno, Failure } from '../../core/errors.ts'
import { newId, paths } from '../../core/names.ts'
import type { Layer, Say } from '../../core/types.ts'
import { runInChroot } from './chroot.ts'
import { withHostLock } from '../layers/host-lock.ts'
import { stackLayers, stacksOf } from './stack.ts'

/** What the suite offers: package lists as apt reads them, and an index of them for us. */
export type AptIndex = {
  /** The directory that apt knows as /var/lib/apt/lists. */
  lists: string
  /** When they were read, in milliseconds since the epoch. */
  at: number
  /** The Debian version of a package that would be installed, or undefined. */
  version(name: string): string | undefined
  /** Names that resemble one that does not exist; at most five. */
  near(name: string): string[]
}

const ageMaxMs = 24 * 3600_000
const updateTimeoutMs = 3 * 60_000
/** An install may still read the lists that were the newest when it began. */
const listsKept = 2

/**
 * The suite's package index, from the host's cache when it is younger than a day or the mirror does
 * not answer (`say` is told). The stack must be there. `fresh` asks the mirror whatever the age.
 */
export async function aptIndex(
  config: PaasConfig,
  options: { say: Say; signal: AbortSignal; fresh?: boolean },
): Promise<AptIndex> {
  const { run: stack } = stackLayers(config) // all stacks have the same sources
  const known = await newest(config)
  if (known && Date.now() - known.at < ageMaxMs && !options.fresh) return openIndex(known.dir)
  const { say, signal } = options
  const limits = { signal, timeoutMs: 2 * updateTimeoutMs }
  try {
    return await withHostLock(config, `apt-${sources}`, limits, async () => {
      const now = await newest(config)
      if (now && now.at !== known?.at) return openIndex(now.dir) // another was quicker
      say('       apt: reading the package lists of Debian, once a day')
      return openIndex(await update(config, stack, signal))
    })
  } catch (cause) {
    if (signal.aborted) throw cause
    if (!known) throw noLists(cause)
    say(' !     The mirror of Debian did not answer: choosing among the packages known before')
    return openIndex(known.dir)
  }
}

/** The index as it was last read, however long ago; undefined when nobody has. */
export async function knownAptIndex(config: PaasConfig): Promise<AptIndex | undefined> {
  const known = await newest(config)
  return known && openIndex(known.dir)
}

/** Lists are kept under the name of the stack that a host begins with: later ones read the same. */
const sources = stacksOf(undefined).run.key

async function newest(config: PaasConfig): Promise<{ dir: string; at: number } | undefined> {
  const parent = paths(config).aptLists(sources)
  const times = (await readdir(parent).catch(ifMissing<string[]>([])))
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
  const at = Math.max(...times)
  return times.length > 0 ? { dir: join(parent, String(at)), at } : undefined
}

/** Makes the lists anew beside the old ones, complete or not at all. */
async function update(config: PaasConfig, stack: Layer, signal: AbortSignal): Promise<string> {
  const { aptLists, layer, sharedMaking } = paths(config)
  const making = join(sharedMaking, `apt-${sources}`)
  await rm(making, { recursive: true, force: true })
  try {
    const [lists, upper] = [join(making, 'lists'), join(making, 'upper')]
    for (const dir of [join(lists, 'partial'), upper]) await mkdir(dir, { recursive: true })
    const { stdout } = await runInChroot({
      lowers: [layer(stack)],
      upper,
      lists,
      argv: ['sh', '-c', listPackages],
      signal,
      timeoutMs: updateTimeoutMs,
    })
    if (!/^dpkg .+$/m.test(stdout)) throw new Error('the package lists have no dpkg')
    await rm(upper, { recursive: true })
    await writeFile(join(making, 'index'), `\n${stdout}`)
    const parent = aptLists(sources)
    await mkdir(parent, { recursive: true })
    const made = join(parent, String(Date.now()))
    await rename(making, made)
    await removeOld(parent)
    return made
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

/** apt-get says what it fetches on the stream where the list is to come. */
const listPackages = `
set -eu
apt-get --quiet --error-on=any update >&2
apt-cache dumpavail | awk '/^Package: / { name = $2 } /^Version: / { print name, $2 }'
`

async function removeOld(parent: string): Promise<void> {
  const times = (await readdir(parent)).sort((a, b) => Number(b) - Number(a))
  for (const old of times.slice(listsKept)) {
    const bin = join(parent, `removed-${newId()}`)
    await rename(join(parent, old), bin).catch(ifMissing(undefined))
    await rm(bin, { recursive: true, force: true })
  }
}

async function openIndex(dir: string): Promise<AptIndex> {
  const text = await readFile(join(dir, 'index'), 'utf8')
  return {
    lists: join(dir, 'lists'),
    at: Number(basename(dir)),
    version: (name) => {
      const start = text.indexOf(`\n${name} `)
      if (start < 0) return undefined
      return text.slice(start + name.length + 2, text.indexOf('\n', start + 1))
    },
    near: (name) => nearNames(name, text),
  }
}

/** Those that begin or go on alike, the shortest first. */
function nearNames(name: string, text: string): string[] {
  const stem = name.replace(/[\d.+-]+$/, '').replace(/-(dev|bin|utils)$/, '')
  if (stem.length < 3) return []
  const names = [...text.matchAll(/^(\S+) /gm)].map(([, one]) => one ?? '')
  const alike = (one: string) => one.startsWith(stem) || one === `lib${stem}` || differByOne(one)
  const differByOne = (one: string) =>
    Math.abs(one.length - name.length) <= 1 && oneEditApart(one, name)
  return names
    .filter(alike)
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
    .slice(0, 5)
}

/** Whether one letter more, less or other, or two exchanged, makes one word of the other. */
function oneEditApart(a: string, b: string): boolean {
  let start = 0
  while (start < a.length && a[start] === b[start]) start += 1
  const [restA, restB] = [a.slice(start), b.slice(start)]
  return (
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    restA.slice(1) === restB.slice(1) ||
    (restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2))
  )
}

function noLists(cause: unknown): Failure {
  const seen = cause instanceof Error ? cause.message : String(cause)
  return new Failure('temporary', `Could not read the package lists of Debian: ${seen}`, {
    hint: 'Check that the server reaches the mirror of Debian, then push again',
    cause,
  })
}

function ifMissing<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (errno(error) === 'ENOENT') return value
    throw error
  }
}
