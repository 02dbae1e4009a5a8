/** What can go wrong, as a table: each code and the exit status a client sees (contract §3). */
export const exitStatus = {
  failed: 1,
  usage: 2,
  'no-such-app': 20,
  forbidden: 21,
  temporary: 75,
} as const

export type FailureCode = keyof typeof exitStatus

/**
 * A failure that a person is told about. `message` says what was tried and what was seen,
 * `hint` what to do next; `details` are further lines (the last log lines, say).
 * Any other error is a defect: the user is told "internal error" and the log has the stack.
 */
export class Failure extends Error {
  readonly code: FailureCode
  readonly hint: string | undefined
  readonly details: string[]

  constructor(
    code: FailureCode,
    message: string,
    options: { hint?: string; details?: string[]; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.name = 'Failure'
    this.code = code
    this.hint = options.hint
    this.details = options.details ?? []
  }
}

/** What went wrong first, where undoing it went wrong too. */
export function firstError(error: unknown): unknown {
  return error instanceof SuppressedError ? firstError(error.suppressed) : error
}

/**
 * The failure as lines for a terminal: ` !     ` before the sentence, seven spaces before detail.
 */
export function failureLines(error: unknown): string[] {
  if (isDiskFull(error) && !(error instanceof Failure)) return failureLines(diskFull(error))
  if (!(error instanceof Failure)) return [' !     Internal error; the daemon log has the details']
  const lines = [` !     ${error.message}`]
  if (error.hint) lines.push(...error.hint.split('\n').map((line) => ` !     ${line}`))
  lines.push(...error.details.map((line) => `       ${line}`))
  return lines
}

/** The exit status for any thrown value. */
export function statusOf(error: unknown): number {
  return error instanceof Failure ? exitStatus[error.code] : exitStatus.failed
}

/** Rethrows the reason when `signal` was aborted. Call it between steps. */
export function stopIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal)
}

/** The failure an aborted signal stands for. */
export function cancelled(signal: AbortSignal): Failure {
  if (signal.reason instanceof Failure) return signal.reason
  return new Failure('failed', 'Cancelled')
}

/** Where SQLite reports a full disk: the low byte of its extended codes. */
const sqliteFull = 13

/** Whether what went wrong is that the disk is full, told by the kernel or by the database. */
export function isDiskFull(error: unknown): boolean {
  if (['ENOSPC', 'EDQUOT'].includes(errno(error) ?? '')) return true
  if (!(error instanceof Error) || !('errcode' in error)) return false
  return (Number(error.errcode) & 0xff) === sqliteFull
}

/** A full disk in a user's words. */
export function diskFull(cause?: unknown): Failure {
  return new Failure('failed', 'The disk of the server is full; what ran before runs on', {
    hint: 'Who takes the space: disk. To free what nobody needs: images:gc. Then try again',
    cause,
  })
}

/** For `.catch` of what is as good as done, or as nothing, when the file is not there. */
export function ignoreMissing(error: unknown): undefined {
  if (errno(error) !== 'ENOENT') throw error
}

/** What `work` returns, or undefined when the file that it is about is not there. */
export function unlessMissing<Result>(work: () => Result): Result | undefined {
  try {
    return work()
  } catch (error) {
    return ignoreMissing(error)
  }
}

/** `ENOENT` and its like, or undefined when `error` is no system error. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** For a program that could not be started. */
export function notStarted(file: string, error: unknown): Failure {
  const said = error instanceof Error ? error.message : String(error)
  const why = errno(error) === 'ENOENT' ? 'not installed (run: paas doctor)' : said
  return new Failure('failed', `Could not start ${file}: ${why}`, { cause: error })
}
