import type { Readable } from 'node:stream'
import { limits } from '../core/config.ts'
import { diskFull, Failure } from '../core/errors.ts'

/** What git says when it cannot even take the objects of a push, and what it means. */
const meanings: [words: string, failure: () => Failure][] = [
  ['pack exceeds maximum allowed size', tooLarge],
  ['No space left on device', () => diskFull()],
]
const longest = Math.max(...meanings.map(([words]) => words.length))

/** Listens to git's output as it passes; the answer is what is to be explained at its end. */
export function explainGit(output: Readable | null): () => Failure | undefined {
  let found: (() => Failure) | undefined
  let tail = ''
  output?.on('data', (chunk: Buffer) => {
    const text = tail + chunk.toString('latin1')
    found ??= meanings.find(([words]) => text.includes(words))?.[1]
    tail = text.slice(-longest)
  })
  return () => found?.()
}

function tooLarge(): Failure {
  const mebibytes = limits.pushBytes / (1024 * 1024)
  return new Failure('failed', `The push is larger than ${mebibytes} MiB, more than is taken`, {
    hint: 'Keep large files out of the history: fetch them in the build, or use a storage',
  })
}
