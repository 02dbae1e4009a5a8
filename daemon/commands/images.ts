import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { parseReference, referenceText } from '../../builder/image/reference.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Release } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { appUrls } from '../apps/hosts.ts'
import type { Answer, Call, Command } from './command.ts'
import { usageFailure } from './parse.ts'
import { findWithFiles } from './releases.ts'
import { refuseTerminal } from './stdin.ts'

/** Most days nobody asks for these: the daemon is smaller without them. */
const exporting = () => import('../code/image-export.ts')
const importing = () => import('../code/image-import.ts')

export const imageCommands: Command[] = [
  {
    name: 'images:export',
    usage: 'APP [vN]',
    summary:
      'Write a release as an OCI image to standard output, the current one unless vN is given',
    app: true,
    run: async (call, daemon) => {
      const { stdout, signal, tty } = call.session
      if (tty) {
        throw new Failure(
          'usage',
          'images:export writes an archive, which a terminal cannot show',
          {
            hint: `Write it into a file: images:export ${call.app().name} > ${call.app().name}.tar`,
          },
        )
      }
      const release = findWithFiles(daemon, call.app(), call.args[0])
      const { exportRelease } = await exporting()
      await exportRelease(daemon, release, (piece) => writeAll(stdout, piece, signal), signal)
      return 0
    },
  },
  ...['git:load-image', 'images:import'].map((name) => ({
    name,
    usage: 'APP',
    summary: 'Deploy the image of an archive on standard input: OCI, or of "docker save"',
    app: true,
    run: async (call: Call, daemon: Daemon) => {
      const { stdin, identity } = call.session
      refuseTerminal(call, 'an archive', `${call.app().name} < image.tar`)
      const asked = { by: identity.name, ask: call.ask }
      const { deployArchive } = await importing()
      const release = await deployArchive(daemon, call.app(), stdin, asked)
      return deployed(daemon, release)
    },
  })),
  {
    name: 'git:from-image',
    usage: 'APP IMAGE',
    summary: 'Deploy an image of a registry, such as registry.example.com/shop@sha256:...',
    app: true,
    run: async (call, daemon) => {
      const reference = parseReference(needed(call, 0, 'the name of an image'))
      const asked = { by: call.session.identity.name, ask: call.ask }
      const { deployReference } = await importing()
      return deployed(daemon, await deployReference(daemon, call.app(), reference, asked))
    },
  },
  {
    name: 'images:push',
    usage: 'APP [vN] IMAGE',
    summary: 'Bring a release to a registry, the current one unless vN is given',
    app: true,
    run: async (call, daemon) => {
      const { args, say } = call
      const wanted = args.length > 1 ? args[0] : undefined
      const image = needed(call, args.length > 1 ? 1 : 0, 'the name of an image')
      if (!image.includes('/')) {
        throw usageFailure(call.command, `"${printable(image)}" says no registry to push to`)
      }
      const reference = parseReference(image)
      if (reference.digest) throw usageFailure(call.command, 'A digest is what comes out of a push')
      const release = findWithFiles(daemon, call.app(), wanted)
      const name = referenceText(reference)
      say(`-----> Pushing ${release.app} v${release.version} to ${name}`)
      const { pushRelease } = await importing()
      const pushed = await pushRelease(daemon, release, reference, {
        say,
        signal: call.session.signal,
      })
      const { digest, blobs, bytes } = pushed
      const sent = `${(bytes / 1024 / 1024).toFixed(1)} MB sent`
      return {
        lines: [`=====> ${name}@${digest} (${sent})`],
        json: { image: name, release: `v${release.version}`, digest, blobs, bytes },
      }
    },
  },
]

function needed(call: Call, at: number, what: string): string {
  const word = call.args[at]
  if (word !== undefined) return word
  throw usageFailure(call.command, `${call.command.name} needs ${what}`)
}

/** What a deploy ends with, whichever way its code came. */
function deployed(daemon: Daemon, release: Release): Answer {
  const { app: name, version, image } = release
  const app = daemon.store.findApp(name)
  const urls = app && image.processes.web ? appUrls(daemon.config, daemon.store, app) : []
  return {
    lines: [`=====> ${name} v${version} deployed`, ...urls.map((url) => `       ${url}`)],
    json: { app: name, release: `v${version}`, urls },
  }
}

/** Resolves when the stream has place for more; throws when nobody reads it any more. */
async function writeAll(stream: Writable, piece: Uint8Array, signal: AbortSignal): Promise<void> {
  if (stream.destroyed || !stream.writable) throw new Failure('failed', 'Nobody reads the image')
  if (stream.write(piece)) return
  await once(stream, 'drain', { signal }).catch((error: unknown) => {
    stopIfCancelled(signal)
    throw error
  })
}
