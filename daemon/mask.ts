import { Failure } from '../core/errors.ts'
import type { Config, Say } from '../core/types.ts'

/**
 * Pure: hides the app's config values in what builds, plugins and the release phase print, and in
 * what paas keeps or repeats of an app's own words: last lines, output of cron jobs. The app's log
 * is the app's own. Values shorter than 4 characters are left: masking every `1` would hide more
 * than it protects.
 */

const shortestMasked = 4
/** A value at least so long is recognised by its pieces too: long lines come in several parts. */
const pieceLength = 32
const stars = '****'

/** A function from a line to the same with every value, or line of one, replaced by `****`. */
export function maskerOf(config: Config): (line: string) => string {
  const values = Object.values(config)
  const lines = values.flatMap((value) => value.split(/\r?\n/))
  const quoted = values.map((value) => JSON.stringify(value).slice(1, -1))
  const all = new Set([...values, ...lines, ...quoted])
  const long = [...all].filter((text) => text.trim().length >= shortestMasked)
  long.sort((a, b) => b.length - a.length) // one value may be part of another
  return (line) => {
    const whole = long.reduce((text, value) => text.replaceAll(value, stars), line)
    return long.reduce(maskPieces, whole)
  }
}

/** The same Say, with values masked. */
export function masked(config: Config, say: Say): Say {
  const mask = maskerOf(config)
  return (line) => say(mask(line))
}

/** The same failure, with values masked in all that a user is told of it. */
export function maskedFailure(config: Config, { code, message, hint, details, cause }: Failure) {
  const mask = maskerOf(config)
  return new Failure(code, mask(message), {
    ...(hint === undefined ? {} : { hint: mask(hint) }),
    details: details.map(mask),
    cause,
  })
}

/** A line that ends in the beginning of a value, begins with its end, or lies inside it. */
function maskPieces(line: string, value: string): string {
  if (value.length < pieceLength * 2 || line.length < pieceLength) return line
  const head = line.indexOf(value.slice(0, pieceLength))
  const begun = head !== -1 && value.startsWith(line.slice(head))
  const text = begun ? line.slice(0, head) + stars : line
  const last = text.indexOf(value.slice(-pieceLength))
  const end = last + pieceLength
  const rest = last !== -1 && value.endsWith(text.slice(0, end)) ? stars + text.slice(end) : text
  return value.includes(rest.trim()) && rest.trim().length >= pieceLength ? stars : rest
}
