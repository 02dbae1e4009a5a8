import type { Readable, Writable } from 'node:stream'
import type { Identity } from '../core/types.ts'

/** What the receiver and those behind its doors say to each other. */

/** One opened SSH channel, after login. All streams keep back-pressure. */
export type Session = {
  identity: Identity
  stdin: Readable
  stdout: Writable
  stderr: Writable
  /** Aborts when the channel or the connection closes, or the client sends INT, TERM or HUP. */
  signal: AbortSignal
  /** Present when the client asked for a terminal. */
  tty: Terminal | null
  /** What the client sent of `GIT_PROTOCOL`, `LANG`, `LC_*`, `TZ` and `NO_COLOR`. */
  env: Record<string, string>
}

export type CommandSession = Session & { argv: string[] }

/**
 * The client's terminal. Until `setRaw` is called, line ends become CR LF and a ^C typed by the
 * user aborts the session's signal, as a pseudo-terminal would have done.
 */
export type Terminal = {
  term: string
  columns: number
  rows: number
  setRaw: () => void
  onResize: (listener: (columns: number, rows: number) => void) => void
}

/**
 * What lies behind the SSH server. Each returns the exit status for the client (0 to 255); a thrown
 * Failure is printed to the client and becomes its own status.
 */
export type Doors = {
  /**
   * `blob` is base64 of the SSH wire format. Called before the signature is checked, and again for
   * as long as the connection lasts: one whose key is gone is ended.
   */
  authorize: (key: { algorithm: string; blob: string }) => Identity | null
  command: (session: CommandSession) => Promise<number>
  receivePack: (session: Session, app: string) => Promise<number>
  /** Left out: fetching is refused. */
  uploadPack?: (session: Session, app: string) => Promise<number>
}
