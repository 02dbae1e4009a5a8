import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { Failure } from '../../core/errors.ts'
import type { Release } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { appUrls } from '../hosts.ts'
import { exportRelease } from '../image-export.ts'
import { deployArchive } from '../image-import.ts'
import type { Answer, Call, Command } from './command.ts'
import { findRelease } from './releases.ts'

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
      const release = findRelease(daemon, call.app(), call.args[0])
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
      const { stdin, tty, identity } = call.session
      if (tty) {
        throw new Failure('usage', `${name} reads an archive, which nobody types`, {
          hint: `Give it one: ${name} ${call.app().name} < image.tar`,
        })
      }
      const asked = { by: identity.name, ask: call.ask }
      const release = await deployArchive(daemon, call.app(), stdin, asked)
      return deployed(daemon, release)
    },
  })),
]

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
  if (!stream.write(piece)) await once(stream, 'drain', { signal })
}
