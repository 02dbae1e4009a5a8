import { Failure } from '../../core/errors.ts'
import type { Detector } from './plan.ts'

/**
 * A language that cannot be built yet. It is recognised all the same: a Python app with a
 * package.json must not quietly become a Node app. Its line in the table of detectors is replaced
 * by the language itself.
 */
export function unavailable(language: string, files: string[]): Detector {
  return {
    language,
    looksFor: files.join(', '),
    detect: (source) => files.find((file) => source.isFile(file)),
    plan: () => {
      throw new Failure('failed', `This version of paas cannot build ${language}`)
    },
    unavailable: true,
  }
}
