import { Failure } from '../../core/errors.ts'
import { parseConfigKey } from '../../core/names.ts'
import type { Config } from '../../core/types.ts'

/** Pure: config to and from text. No error quotes a value, only its line or its key. */

export type ConfigFormat = 'env' | 'shell' | 'json'

/** A JSON object of strings, or lines of `KEY=value`, whichever the text is. */
export function parseConfigText(text: string): Config {
  return text.trimStart().startsWith('{') ? parseJson(text) : parseEnvFile(text)
}

/**
 * `KEY=value`, `KEY='as it is'`, `KEY="with \n and \""`, each with or without `export` before it;
 * quoted values may go over several lines; `#` begins a comment. Throws a Failure with the line.
 */
export function parseEnvFile(text: string): Config {
  const config: Config = {}
  const seenAt = new Map<string, number>()
  let at = text.startsWith('\uFEFF') ? 1 : 0
  let line = 1
  while (at < text.length) {
    const rest = text.slice(at)
    const [blank] = /^[ \t]*(?:#.*)?(?:\r?\n|$)/.exec(rest) ?? []
    const entry = blank === undefined ? entryOf(rest, line) : undefined
    if (entry) {
      const before = seenAt.get(entry.key)
      if (before !== undefined) throw wrong(line, `${entry.key} is set in line ${before} already`)
      seenAt.set(entry.key, line)
      config[entry.key] = entry.value
    }
    const taken = entry?.taken ?? blank ?? ''
    line += taken.split('\n').length - 1
    at += taken.length
  }
  return config
}

/** The text that `parseConfigText` reads back, or that a shell does. Keys in order. */
export function formatConfig(config: Config, format: ConfigFormat): string[] {
  const entries = Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1))
  if (format === 'json') return JSON.stringify(Object.fromEntries(entries), null, 2).split('\n')
  const before = format === 'shell' ? 'export ' : ''
  const quote = format === 'shell' ? shellQuote : envQuote
  return entries.map(([key, value]) => `${before}${key}=${quote(value)}`)
}

/** Quoted so that a shell reads the same value back. */
export function shellQuote(value: string): string {
  return isPlain(value) ? value : `'${value.replaceAll("'", "'\\''")}'`
}

function envQuote(value: string): string {
  if (isPlain(value)) return value
  const escapes: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
  return `"${value.replace(/["\\$`\n\r\t]/g, (one) => escapes[one] ?? `\\${one}`)}"`
}

function isPlain(value: string): boolean {
  return /^[\w.,:/@%+-]+$/.test(value)
}

type Entry = { taken: string; key: string; value: string }

function entryOf(rest: string, line: number): Entry {
  const [head = '', name = ''] = /^[ \t]*(?:export[ \t]+)?([^=\s]*)[ \t]*=[ \t]*/.exec(rest) ?? []
  if (head === '') throw wrong(line, 'expected KEY=value')
  const key = checkedKey(name, line)
  const quote = rest[head.length]
  const value =
    quote === '"' || quote === "'"
      ? quoted(rest.slice(head.length), quote, { key, line })
      : bare(rest.slice(head.length))
  const end = head.length + value.length
  const [tail] = /^[ \t]*(?:[ \t]#.*)?(?:\r?\n|$)/.exec(rest.slice(end)) ?? []
  if (tail === undefined) {
    const last = line + lineOf(rest, end) - 1
    throw wrong(last, `something follows the closing quote of ${key}`)
  }
  return { taken: rest.slice(0, end + tail.length), key, value: value.text }
}

/** `length` is what the value takes of the file, quotes included. */
type Value = { text: string; length: number }

function bare(rest: string): Value {
  const [whole = ''] = /^[^\r\n]*/.exec(rest) ?? []
  const text = whole.replace(/(^|[ \t]+)#.*$/, '').trimEnd()
  return { text, length: text.length }
}

function quoted(rest: string, quote: string, at: { key: string; line: number }): Value {
  // '\'' is how a shell, and our own shell format, writes a quote inside single quotes.
  const pattern = quote === '"' ? /^"((?:[^"\\]|\\[^])*)"/ : /^'([^']*(?:'\\''[^']*)*)'/
  const [whole, inside = ''] = pattern.exec(rest) ?? []
  if (whole === undefined) throw wrong(at.line, `the quote that opens ${at.key} is never closed`)
  const letters: Record<string, string> = { n: '\n', r: '\r', t: '\t' }
  const unescape = (_all: string, one: string) =>
    letters[one] ?? ('"\\$`\n'.includes(one) ? one.replace('\n', '') : `\\${one}`)
  const text =
    quote === '"' ? inside.replace(/\\([^])/g, unescape) : inside.replaceAll("'\\''", "'")
  return { text, length: whole.length }
}

function checkedKey(name: string, line: number): string {
  try {
    return parseConfigKey(name)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure('usage', `Line ${line}: ${error.message}`, { hint: error.hint ?? '' })
  }
}

function parseJson(text: string): Config {
  const value = jsonOf(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Failure('usage', 'The JSON is not an object of keys and values')
  }
  const entries = Object.entries(value).map(([key, one]: [string, unknown]) => {
    const line = lineOf(text, text.indexOf(JSON.stringify(key)))
    if (typeof one === 'string') return [checkedKey(key, line), one] as const
    throw wrong(line, `the value of ${checkedKey(key, line)} is no string`)
  })
  return Object.fromEntries(entries)
}

/** The parser's own message quotes what it read, which may be a secret. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const said = error instanceof Error ? error.message : ''
    const [, position] = /at position (\d+)/.exec(said) ?? []
    const line = lineOf(text, position === undefined ? text.length : Number(position))
    throw wrong(line, 'the JSON cannot be read from here on')
  }
}

function lineOf(text: string, position: number): number {
  return text.slice(0, Math.max(0, position)).split('\n').length
}

function wrong(line: number, sentence: string): Failure {
  return new Failure('usage', `Line ${line}: ${sentence}`, {
    hint: 'Nothing was changed. Expected: lines of KEY=value, or a JSON object of strings',
  })
}
