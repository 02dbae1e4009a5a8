import { maskAddresses, maskValue } from '../../core/mask.ts'

/**
 * Pure: a call's words with what may be secret in them left out, for whoever is told of the call:
 * everybody on the host may read the arguments of a process. Values that go in by standard input
 * are no words.
 */
export function withoutSecrets(argv: string[]): string[] {
  const ofConfig = argv.some((word) => word.startsWith('config:'))
  return argv.map((word, index) => {
    if (argv[index - 1] === '--env' || (ofConfig && !word.startsWith('-'))) return maskValue(word)
    if (word.startsWith('--env=')) return `--env=${maskValue(word.slice('--env='.length))}`
    return maskAddresses(word)
  })
}
