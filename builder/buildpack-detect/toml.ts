import { parse } from 'smol-toml'
import { Failure } from '../../core/errors.ts'
import type { Source } from '../source/source.ts'

export type Table = Record<string, unknown>

/** A TOML file of a tree; empty when there is none. Throws a Failure that names the bad line. */
export function readToml(source: Source, file: string): Table {
  const content = source.readText(file, 1024 * 1024)
  if (content === undefined) return {}
  try {
    return parse(content)
  } catch (cause) {
    const seen = cause instanceof Error ? cause.message.trim().split('\n')[0] : String(cause)
    const line = lineOf(cause)
    throw new Failure('failed', `${file} is not valid TOML${line}: ${seen}`, {
      hint: `Mend ${file}, commit and push again`,
      cause,
    })
  }
}

/** The table at a key; empty when it is absent or is none. */
export function table(value: Table, key: string): Table {
  const found = value[key]
  return isTable(found) ? found : {}
}

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function lineOf(cause: unknown): string {
  const known = typeof cause === 'object' && cause !== null && 'line' in cause
  return known && typeof cause.line === 'number' ? ` (line ${cause.line})` : ''
}
