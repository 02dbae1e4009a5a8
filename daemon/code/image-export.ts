import { exportImage } from '../../builder/image/export.ts'
import type { Described } from '../../builder/image/oci.ts'
import { appPort, appUser, searchPath } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import type { Image, Release } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { openLayerWork } from './layer-work.ts'
import { argvOf } from '../fleet/processes.ts'

/** A release as an image for other runtimes. Its config is the app's alone, and stays here. */

/** Writes the archive piece by piece; `write` resolves when there is place for the next. */
export async function exportRelease(
  daemon: Daemon,
  release: Release,
  write: (piece: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { app, version, cause } = release
  const exported = {
    ...describeRelease(release),
    name: `${app}:v${version}`,
    annotations: {
      'org.opencontainers.image.ref.name': `v${version}`,
      'paas.app': app,
      'paas.release': `v${version}`,
      'paas.cause': cause,
    },
  }
  await using work = openLayerWork(signal)
  for await (const piece of exportImage(daemon.config, exported, work)) await write(piece)
}

/** The release in the words of an image's configuration. Pure. */
export function describeRelease({ app, commit, image }: Release): Omit<Described, 'diffIds'> {
  const { user = { uid: appUser, gid: appUser }, port = appPort } = image
  const env = { PATH: searchPath, HOME: '/app' }
  return { app, commit, image, user, port, env, argv: absolute(argvOf(image, mainType(image))) }
}

/** What an image runs by itself: `web`, or the first of its types. */
function mainType({ processes }: Image): string {
  const types = Object.keys(processes).sort()
  const main = types.find((type) => type === 'web') ?? types.find((type) => type !== 'release')
  if (main !== undefined) return main
  throw new Failure('failed', 'The release has no process type that an image could run')
}

/** Not every runtime looks along PATH. */
function absolute(argv: string[]): string[] {
  return argv[0] === 'sh' ? ['/bin/sh', ...argv.slice(1)] : argv
}
