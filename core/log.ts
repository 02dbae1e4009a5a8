import { writeSync } from 'node:fs'

/**
 * The daemon's own log: one line a fact, on stderr, which the service manager or start-up keeps.
 */
export function log(event: string, facts: Record<string, unknown> = {}): void {
  const pairs = Object.entries(facts).map(([key, value]) => `${key}=${format(value)}`)
  try {
    writeSync(2, `${[new Date().toISOString(), event, ...pairs].join(' ')}\n`)
  } catch {
    // Its disk is full: the line is lost, and who wrote it goes on. A stream would end us both.
  }
}

/** The whole story of an unexpected error, causes included. */
export function logError(event: string, error: unknown, facts: Record<string, unknown> = {}): void {
  const cause = error instanceof Error && error.cause ? ` <- ${String(error.cause)}` : ''
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  log(event, { ...facts, error: text + cause })
}

function format(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text)
}
