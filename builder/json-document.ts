import { Failure } from '../core/errors.ts'
import { printable } from '../core/names.ts'

/** Reads values out of a JSON document and says where in it one is not what is wanted. Pure. */

export type Json = { value: unknown; path: string; file: string }

/** Parses JSON that may have comments and trailing commas. A Failure names line and column. */
export function parseJson(file: string, content: string): Json {
  const plain = withoutComments(content)
  try {
    return { value: JSON.parse(plain), path: '', file }
  } catch (cause) {
    throw new Failure('failed', `${file} is not valid JSON: ${breaksAt(plain)}`, {
      hint: `Mend ${file}, commit and push again`,
      cause,
    })
  }
}

/** The engine's own words seldom say where, and quote what may be secret. */
function breaksAt(plain: string): string {
  let [good, bad] = [0, plain.length + 1]
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2)
    if (isBeginning(plain.slice(0, middle))) good = middle
    else bad = middle
  }
  if (good === plain.length) return 'it ends too early'
  const lines = plain.slice(0, good).split('\n')
  const column = (lines.at(-1)?.length ?? 0) + 1
  return `unexpected ${printable(plain[good] ?? '')} in line ${lines.length}, column ${column}`
}

/** Whether a document could begin like this. */
function isBeginning(part: string): boolean {
  try {
    JSON.parse(part)
    return true
  } catch (error) {
    const said = error instanceof Error ? error.message : ''
    const position = /position (\d+)/.exec(said)?.[1]
    return /end of JSON|^Unterminated/.test(said) || Number(position) === part.length
  }
}

/** Comments become blanks, so that an error still names the line and column of the file. */
export function withoutComments(content: string): string {
  return content
    .replace(/^\uFEFF/, '')
    .replace(/"(?:\\.|[^"\\\n])*"|\/\/[^\n]*|\/\*[^]*?\*\//g, blank)
    .replace(/"(?:\\.|[^"\\\n])*"|,(?=\s*[}\]])/g, blank)
}

function blank(part: string): string {
  return part.startsWith('"') ? part : part.replace(/[^\n]/g, ' ')
}

/** The member of an object, or undefined when it is absent or null. */
export function member(json: Json, key: string): Json | undefined {
  const value = record(json)[key]
  if (value === undefined || value === null) return undefined
  return { ...json, value, path: json.path === '' ? key : `${json.path}.${key}` }
}

/** What is read of a member, or undefined when it is absent or null. */
export function optional<T>(json: Json, key: string, read: (json: Json) => T): T | undefined {
  const found = member(json, key)
  return found && read(found)
}

/** As `optional`, for what must be there. */
export function required<T>(
  json: Json,
  key: string,
  { read, want }: { read: (json: Json) => T; want: string },
): T {
  const found = member(json, key)
  if (found) return read(found)
  throw wrong({ ...json, value: undefined, path: `${json.path}.${key}` }, want)
}

/** The members of an object; none when it is absent. */
export function members(json: Json | undefined): [key: string, json: Json][] {
  if (!json) return []
  return Object.entries(record(json)).map(([key, value]) => {
    const name = printable(key)
    return [key, { ...json, value, path: json.path === '' ? name : `${json.path}.${name}` }]
  })
}

export function items(json: Json): Json[] {
  if (!Array.isArray(json.value)) throw wrong(json, 'a list')
  return json.value.map((value: unknown, index) => ({
    ...json,
    value,
    path: `${json.path}[${index}]`,
  }))
}

/** Text that a program can be given: not empty, no NUL. */
export function words(json: Json): string {
  const value = text(json)
  if (value.trim() !== '' && !value.includes('\0')) return value
  throw wrong(json, 'text that is not empty')
}

export function text(json: Json): string {
  if (typeof json.value === 'string') return json.value
  throw wrong(json, 'text')
}

export function flag(json: Json): boolean {
  if (typeof json.value === 'boolean') return json.value
  throw wrong(json, 'true or false')
}

export function within(json: Json, least: number, most: number, whole = false): number {
  const { value } = json
  const fits = typeof value === 'number' && value >= least && value <= most
  if (fits && (!whole || Number.isInteger(value))) return value
  throw wrong(json, `${whole ? 'a whole number' : 'a number'} from ${least} to ${most}`)
}

/** `healthchecks.web[0].path in app.json is 5: expected text` */
export function wrong(json: Json, want: string): Failure {
  const place = json.path === '' ? json.file : `${json.path} in ${json.file}`
  return new Failure('failed', `${place} is ${seen(json.value)}: expected ${want}`)
}

function record(json: Json): Record<string, unknown> {
  const { value } = json
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw wrong(json, 'an object')
}

function seen(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? `"${printable(value)}"` : String(value)
}
