import { Failure, failureLines, statusOf } from '../../core/errors.ts'
import { logError } from '../../core/log.ts'
import type { Say } from '../../core/types.ts'
import { sayTo } from '../../receiver/output.ts'
import { findApp } from '../apps/find-app.ts'
import { refuseLocked } from '../apps/locks.ts'
import type { Daemon } from '../daemon.ts'
import type { Call, Changed, Command, Session } from './command.ts'
import { helpOn } from './help.ts'
import { print } from './output.ts'
import { type Parsed, parseCommand, usageFailure } from './parse.ts'
import { withPluginCommands } from './plugin-commands.ts'
import { table } from './table.ts'
import { withoutSecrets } from './without-secrets.ts'

/**
 * The one way from words to a command, for every door. Prints the answer or the failure and
 * returns the exit status of contract §3; it never throws.
 */
export async function dispatch(asked: Session, daemon: Daemon): Promise<number> {
  const session = { ...asked, signal: AbortSignal.any([asked.signal, daemon.farewell.signal]) }
  try {
    const commands = withPluginCommands(table, daemon)
    const parsed = parseCommand(session.argv, commands)
    await authorize(session, daemon)
    const call = parsed.help ? undefined : openCall(parsed, session, daemon, commands)
    const answer = call
      ? await parsed.command.run(call, daemon)
      : helpOn(parsed.command.name, commands)
    if (typeof answer === 'number') return answer
    if (call && answer.event) recordChange(daemon, call, answer.event)
    await print(session.stdout, parsed.json ? [JSON.stringify(answer.json, null, 2)] : answer.lines)
    return 0
  } catch (error) {
    if (!(error instanceof Failure)) {
      logError('command-failed', error, { command: session.argv[0] ?? '' })
    }
    await print(session.stderr, failureLines(error))
    return statusOf(error)
  }
}

/** Tells `events` of the app, or of the host when the call named none, who changed what. */
function recordChange(daemon: Daemon, call: Call, { kind, text, app }: Changed): void {
  const by = call.session.identity.name
  const whose = app === undefined ? (call.named ?? null) : app
  try {
    daemon.store.addEvent(whose, { kind, by, release: null, text })
  } catch (error) {
    logError('event-unrecorded', error, { text }) // a full disk: what was done is done
  }
}

/** Plugins may refuse what a key holder asks, and say why; root on the host is above that. */
export async function authorize(
  { argv, identity, signal, stderr }: Pick<Session, 'argv' | 'identity' | 'signal' | 'stderr'>,
  daemon: Daemon,
): Promise<void> {
  if (identity.local) return
  const user = identity.name
  try {
    await daemon.triggers.fire(
      'user-auth',
      { user, args: [user, ...withoutSecrets(argv)] },
      sayTo(stderr),
      signal,
    )
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure('forbidden', `${user} may not do this: ${error.message}`, { cause: error })
  }
}

function openCall(parsed: Parsed, session: Session, daemon: Daemon, commands: Command[]): Call {
  const ofApp = parsed.command.app && parsed.options.global !== true
  const app = ofApp ? findApp(requireApp(parsed), daemon) : undefined
  if (app && parsed.command.changes) refuseLocked(daemon.store, app.name)
  const say = sayOf(session, parsed)
  return {
    session,
    command: parsed.command,
    table: commands,
    named: app,
    app() {
      if (!app) throw new TypeError(`${parsed.command.name} takes no app`)
      return app
    },
    args: parsed.args,
    options: parsed.options,
    json: parsed.json,
    force: parsed.force,
    say,
    ask: { say, signal: session.signal, inside: session.turn },
  }
}

function requireApp(parsed: Parsed): string {
  if (parsed.app) return parsed.app
  throw usageFailure(parsed.command, `${parsed.command.name} needs the name of an app`)
}

/** Warnings always reach stderr; steps go to stdout, or nowhere where only data is wanted. */
function sayOf({ stdout, stderr }: Session, { quiet, json }: Parsed): Say {
  const [warn, tell] = [sayTo(stderr), sayTo(stdout)]
  return (line) => {
    if (line.startsWith(' !     ')) warn(line)
    else if (!quiet && !json) tell(line)
  }
}
