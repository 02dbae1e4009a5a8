import { createHash } from 'node:crypto'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { paths, printable } from '../../core/names.ts'
import type { Layer, Say } from '../../core/types.ts'
import { aptIndex } from './apt-index.ts'
import { runInChroot } from './chroot.ts'
import { ensureLayer, hasLayer } from '../layers/layers.ts'
import { suite } from './stack.ts'

/** A layer of Debian packages, and the layers it is made on: its stack first. */
export type AptLayer = {
  layer: Layer
  lowers: [Layer, ...Layer[]]
  packages: string[]
  /** Scripts of ours that root runs in it when the packages are installed. */
  finish: string[]
}

/** Grows when the way packages are installed changes. */
const recipe = 1

/** A misspelt name must not have the lists read again at every push. */
const recentMs = 15 * 60_000

const installTimeoutMs = 10 * 60_000

/**
 * Names the layer of some packages on top of others. Pure. `marks` are further words that decide
 * its content, such as the versions that were chosen. Undefined when there are no packages.
 */
export function aptLayer(
  lowers: [Layer, ...Layer[]],
  asked: string[],
  marks: string[] = [],
  finish: string[] = [],
): AptLayer | undefined {
  if (asked.length === 0) return undefined
  const packages = [...new Set(asked.map(checkName))].sort()
  const text = JSON.stringify([
    recipe,
    lowers.map(({ key }) => key),
    packages,
    [...marks, ...finish],
  ])
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 24)
  const label = `apt ${packages.slice(0, 3).join(' ')}${packages.length > 3 ? ' …' : ''}`
  const layer: Layer = { kind: 'apt', key: `apt-${hash}`, label, packages }
  return { layer: marks.length > 0 ? { ...layer, marks } : layer, lowers, packages, finish }
}

/** A package's name as Debian allows it; nothing that apt would take for an option or a version. */
export function checkName(name: string): string {
  if (/^[a-z0-9][a-z0-9+.-]{1,127}$/.test(name)) return name
  throw new Failure('failed', `"${printable(name)}" is not the name of a Debian package`, {
    hint: 'Names have a-z, 0-9, "+", "-" and ".", such as libpq-dev',
  })
}

/**
 * Installs the packages of a layer unless the host has it, once per host. The layers beneath must
 * be there. Failure: a package that does not exist, or what apt said.
 */
export async function ensureApt(
  config: PaasConfig,
  { layer, lowers, packages, finish }: AptLayer,
  options: { say: Say; signal: AbortSignal },
): Promise<void> {
  if (hasLayer(config, layer)) return
  const { say, signal } = options
  const index = await indexWith(config, packages, options)
  const began = performance.now()
  say(`       apt: installing ${packages.join(', ')}, once per host`)
  const install = [...installOptions, 'install', '--', ...packages]
  const make = async (dir: string) => {
    await runInChroot({
      lowers: lowers.map((lower) => paths(config).layer(lower)),
      upper: dir,
      lists: index.lists,
      argv: ['sh', '-c', `set -e\napt-get "$@"\n${finish.join('\n')}`, 'sh', ...install],
      signal,
      timeoutMs: installTimeoutMs,
    }).catch((cause: unknown) => {
      if (signal.aborted || !(cause instanceof Failure)) throw cause
      throw new Failure('failed', `Could not install ${packages.join(', ')}: ${cause.message}`, {
        cause,
      })
    })
  }
  await ensureLayer(config, { layer, signal, make })
  say(`       apt: ready (${((performance.now() - began) / 1000).toFixed(1)} s)`)
}

/** No questions asked; what the image's maker has set in files of a package stays. */
export const installOptions = [
  '--quiet',
  '--yes',
  '--no-install-recommends',
  '--option=Dpkg::Use-Pty=0',
  '--option=Dpkg::Options::=--force-confdef',
  '--option=Dpkg::Options::=--force-confold',
]

/** The index that knows all the packages: the one at hand, or a new one. */
async function indexWith(
  config: PaasConfig,
  packages: string[],
  options: { say: Say; signal: AbortSignal },
) {
  const known = await aptIndex(config, options)
  if (packages.every((name) => known.version(name))) return known
  const isRecent = Date.now() - known.at < recentMs
  const index = isRecent ? known : await aptIndex(config, { ...options, fresh: true })
  const missing = packages.filter((name) => !index.version(name))
  if (missing.length === 0) return index
  const near = missing.flatMap((name) => index.near(name))
  const are = missing.length === 1 ? 'is no package' : 'are no packages'
  throw new Failure('failed', `${missing.join(', ')} ${are} of Debian ${suite}`, {
    ...(near.length > 0 && { hint: `Near it: ${near.join(', ')}` }),
  })
}
