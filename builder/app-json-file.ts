import { type Json, parseJson } from './json-document.ts'
import type { Source } from './source/source.ts'

/** The app.json at the root of a tree, parsed once for all who read it; undefined without one. */
export function appJsonFile(source: Source): Json | undefined {
  const known = parsed.get(source)
  if (known) return known
  const content = source.readText('app.json', fileBytesMost)
  if (content === undefined) return undefined
  const json = parseJson('app.json', content)
  parsed.set(source, json)
  return json
}

const fileBytesMost = 256 * 1024

/** By a view of a tree that nobody changes any more. */
const parsed = new WeakMap<Source, Json>()
