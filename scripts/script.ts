import { dirname } from 'node:path'
import { Failure, failureLines, statusOf } from '../core/errors.ts'

/** What the scripts share. */

export const repository = dirname(import.meta.dirname)

export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Runs a script's body; a failure is told as everywhere and becomes the exit status. */
export async function script(body: () => Promise<void>): Promise<void> {
  try {
    await body()
  } catch (error) {
    const lines = error instanceof Failure ? failureLines(error) : [` !     ${String(error)}`]
    process.stderr.write(`${lines.join('\n')}\n`)
    process.exitCode = statusOf(error)
  }
}
