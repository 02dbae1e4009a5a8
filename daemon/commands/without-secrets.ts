const hidden = '***'

/**
 * Pure: a call's words with what may be secret in them left out, for whoever is told of the call:
 * everybody on the host may read the arguments of a process. Values that go in by standard input
 * are no words.
 */
export function withoutSecrets(argv: string[]): string[] {
  const setsConfig = argv.includes('config:set')
  return argv.map((word, index) => {
    if (argv[index - 1] === '--env' || (setsConfig && !word.startsWith('-'))) return noValue(word)
    if (word.startsWith('--env=')) return `--env=${noValue(word.slice('--env='.length))}`
    return withoutLogin(word)
  })
}

/** `KEY=***` */
function noValue(word: string): string {
  const at = word.indexOf('=')
  return at === -1 ? word : `${word.slice(0, at + 1)}${hidden}`
}

/** `https://***@example.com/` */
function withoutLogin(word: string): string {
  return word.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, `$1${hidden}@`)
}
