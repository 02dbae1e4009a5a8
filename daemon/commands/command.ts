import type { Readable, Writable } from 'node:stream'
import type { App, Identity, Say } from '../../core/types.ts'
import type { Terminal } from '../../receiver/session.ts'
import type { Daemon } from '../daemon.ts'
import type { Ask } from '../queue.ts'

/** A command of ours: one entry in `table.ts`, whichever door it is called through. */
export type Command = {
  /** `config:set` */
  name: string
  /** What follows the name, app included: `APP KEY=VALUE [KEY=VALUE ...]`. */
  usage: string
  summary: string
  /**
   * Whether the first argument names an app that must exist; `--app` may stand for it. With an
   * option `global` of the command's own none is named.
   */
  app: boolean
  /** Changes its app without the app's turn, which is not had while the app is locked: refused. */
  changes?: true
  options?: Record<string, CommandOption>
  /** Everything after the app belongs to the command itself, dashes included (`run`). */
  verbatim?: boolean
  run: (call: Call, daemon: Daemon) => Promise<Answer | number>
}

export type CommandOption = {
  type: 'boolean' | 'string'
  short?: string
  /** May be given more than once; its value is then a list. */
  multiple?: true
  /** What the value is, for the help: `N`, `TYPE`. */
  value?: string
  help: string
}

export type Options = Record<string, string | boolean | string[] | undefined>

/**
 * What a command that prints facts returns: lines for people, and the same as data for `--json`.
 * `event` is what it has changed, for `events` of the app or of the host, without any secret.
 */
export type Answer = { lines: string[]; json: unknown; event?: Changed }

/** `app`: of which, unless it is the one that the call names; null for the host itself. */
export type Changed = { kind: string; text: string; app?: App | null }

/** Where a command's words come from and go to, whichever door it came through. */
export type Session = {
  argv: string[]
  identity: Identity
  stdin: Readable
  stdout: Writable
  stderr: Writable
  /** Aborted when the client goes away. */
  signal: AbortSignal
  /** The terminal at which a person sits on the other side, if one does. */
  tty: Terminal | null
  /** The app in whose change a plugin is calling back, so that it does not wait for itself. */
  turn: string | null
  /** Tells a client that can ask again what to ask, should the connection be lost from here on. */
  resume?: (argv: string[]) => void
}

/** One call, parsed and looked up. `args` are those after the app. */
export type Call = {
  session: Session
  command: Command
  /** Every command there is, for those that list them. */
  table: Command[]
  /** The app that the call names, where it names one. */
  named: App | undefined
  /** The same; throws for a command that takes none, which is a defect. */
  app: () => App
  args: string[]
  options: Options
  json: boolean
  force: boolean
  /** Progress, a line at a time; warnings (` !     `) go to stderr; silent under `--quiet`. */
  say: Say
  /** How this call asks for an app's turn. */
  ask: Ask
}
