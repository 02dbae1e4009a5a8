import type { Source } from '../source/source.ts'
import type { VersionText } from './plan.ts'

/** The first line of a file that is neither empty nor a comment, or undefined without the file. */
export function firstLine(source: Source, file: string): string | undefined {
  const text = source.readText(file, 4096)
  if (text === undefined) return undefined
  return text.split(/\r?\n/).map(withoutComment).find(Boolean) ?? ''
}

/** What .tool-versions says of a tool, by any of its names. */
export function toolVersion(source: Source, names: string[]): string | undefined {
  const text = source.readText('.tool-versions', 65536) ?? ''
  for (const line of text.split(/\r?\n/).map(withoutComment)) {
    const [tool = '', version = ''] = line.split(/\s+/)
    if (names.includes(tool)) return version
  }
  return undefined
}

/** The first of some pins, and a warning for each other that says another thing. */
export function firstPin(pins: (VersionText | undefined)[]): {
  pin: VersionText | undefined
  warnings: string[]
} {
  const [pin, ...others] = pins.filter((one) => one !== undefined)
  const warnings = others
    .filter((other) => other.range !== pin?.range)
    .map((other) => `${other.from} says "${other.text}"; ${pin?.from} comes first`)
  return { pin, warnings }
}

function withoutComment(line: string): string {
  return line.replace(/#.*$/, '').trim()
}
