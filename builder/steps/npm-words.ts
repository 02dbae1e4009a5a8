/**
 * npm ends its failures with how it is to be called, some sixty lines, and with a log that nobody
 * will find in a sandbox: both would push what matters off the screen.
 */

const says = /^npm (?:error|ERR!) ?/

/** Passes lines on, but for npm's usage and its empty ones. */
export function withoutNpmUsage(onLine: (line: string) => void): (line: string) => void {
  let inUsage = false
  return (line) => {
    if (!says.test(line)) {
      inUsage = false
      onLine(line)
      return
    }
    const words = line.replace(says, '').trim()
    if (words === 'Clean install a project' || words === 'Usage:') inUsage = true
    const isNoise = inUsage || words === '' || words.startsWith('A complete log of this run')
    if (!isNoise) onLine(line)
    if (words.startsWith('Run "npm help')) inUsage = false
  }
}
