import { dirname } from 'node:path'
import { errno, Failure, failureLines, statusOf } from '../core/errors.ts'

/** What the scripts share. */

export const repository = dirname(import.meta.dirname)

export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Runs a script's body; a failure is told as everywhere and becomes the exit status. */
export async function script(body: () => Promise<void>): Promise<void> {
  try {
    await body()
  } catch (thrown) {
    const error = asFailure(thrown)
    const lines = error instanceof Failure ? failureLines(error) : [` !     ${String(error)}`]
    process.stderr.write(`${lines.join('\n')}\n`)
    process.exitCode = statusOf(error)
  }
}

/** A word that `parseArgs` does not know is no defect of ours. */
function asFailure(error: unknown): unknown {
  if (!errno(error)?.startsWith('ERR_PARSE_ARGS') || !(error instanceof Error)) return error
  return new Failure('usage', error.message.split('. ')[0] ?? error.message)
}
