import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { Failure } from '../../core/errors.ts'
import { exportRelease } from '../image-export.ts'
import type { Command } from './command.ts'
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
]

/** Resolves when the stream has place for more; throws when nobody reads it any more. */
async function writeAll(stream: Writable, piece: Uint8Array, signal: AbortSignal): Promise<void> {
  if (stream.destroyed || !stream.writable) throw new Failure('failed', 'Nobody reads the image')
  if (!stream.write(piece)) await once(stream, 'drain', { signal })
}
