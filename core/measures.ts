import { Failure } from './errors.ts'
import { printable } from './names.ts'

/** Sizes and times as people type them. All pure. */

const units: Record<string, number> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }
const secondsOf: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** Bytes of `256m`, `1g`, `512MiB`; a bare number is mebibytes. Undefined for anything else. */
export function parseSize(text: string): number | undefined {
  const [, number, unit = 'm'] = /^(\d+(?:\.\d+)?)([kmg]?)(?:i?b)?$/i.exec(text) ?? []
  if (number === undefined) return undefined
  return Math.floor(Number(number) * (units[unit.toLowerCase() || 'm'] ?? NaN))
}

/** `5 GiB`, `1.5 GiB`, `12 MiB`: as sizes are asked for. */
export function showSize(bytes: number): string {
  const [unit, name] = bytes >= 1024 ** 3 ? [1024 ** 3, 'GiB'] : [1024 ** 2, 'MiB']
  return `${Math.round((bytes / unit) * 10) / 10} ${name}`
}

/** Milliseconds of `90s`, `30m`, `24h`, `7d`, `1w`. Undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, count, unit = ''] = /^(\d{1,9})([smhdw])$/.exec(text) ?? []
  return count === undefined ? undefined : Number(count) * (secondsOf[unit] ?? NaN) * 1000
}

/** Milliseconds since the epoch of `90s`, `1h`, `2d` ago, or of an ISO 8601 time. */
export function parseWhen(option: string, text: string, now: number = Date.now()): number {
  const age = parseDuration(text)
  const ms = age === undefined ? isoTime(text) : now - age
  if (Number.isFinite(ms) && Math.abs(ms) < 8e15) return ms
  throw new Failure('usage', `${option} "${printable(text)}" is no time`, {
    hint: 'Use an age such as 30m, 1h or 2d, or a time such as 2026-11-21T06:00:00Z',
  })
}

function isoTime(text: string): number {
  return /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN
}
