import { Failure } from '../../core/errors.ts'
import type { Call } from './command.ts'

const stdinTimeoutMs = 60_000

export const otherBytesHint =
  'For other bytes, store them as base64 text and decode them in the app'

/** Refuses a terminal where a file is wanted that nobody types; `example` gives it one. */
export function refuseTerminal(call: Call, what: string, example: string): void {
  if (!call.session.tty) return
  throw new Failure('usage', `${call.command.name} reads ${what} from standard input`, {
    hint: `From a file, for one: ${call.command.name} ${example}`,
  })
}

/** All of standard input, which must end within a minute and hold at most `bytesMost` of UTF-8. */
export async function readStdin(call: Call, bytesMost: number): Promise<string> {
  const { stdin, signal } = call.session
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(stdinTimeoutMs)])
  const late = () => stdin.destroy(new Failure('failed', 'Standard input did not end in time'))
  deadline.addEventListener('abort', late)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of stdin) {
      const part: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))
      bytes += part.length
      if (bytes > bytesMost) {
        throw new Failure('usage', `Standard input has more than ${bytesMost} bytes`)
      }
      chunks.push(part)
    }
  } finally {
    deadline.removeEventListener('abort', late)
  }
  return decodeUtf8(Buffer.concat(chunks), 'Standard input')
}

/** Bytes as text, or a Failure that names them: a process cannot be given any others. */
export function decodeUtf8(bytes: Buffer, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new Failure('usage', `${what} is not UTF-8 text`, {
      hint: otherBytesHint,
      cause,
    })
  }
}
