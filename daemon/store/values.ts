/** Plain values of unknown origin, checked. A wrong one is a defect and throws a TypeError. */

export function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new TypeError('expected an object')
  return { ...value }
}

export function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`expected text, got ${typeof value}`)
  return value
}

export function number(value: unknown): number {
  if (typeof value !== 'number') throw new TypeError(`expected a number, got ${typeof value}`)
  return value
}
