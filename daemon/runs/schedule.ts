import { Cron } from 'croner'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'

/** When cron jobs are due: pure, the clock is always given. */

export type Schedule = {
  /** The first due time after `time`, undefined when there is none. */
  next: (time: Date) => Date | undefined
  /** The last due time up to and including `time`. */
  last: (time: Date) => Date | undefined
}

/** A due time that passed longer ago than this is not made up for. */
export const lateMostMs = 60 * 60 * 1000

/**
 * Reads five fields (or a name such as `@daily`) in a time zone; throws a usage Failure. Where the
 * clock is set forward, a job at a fixed time that does not exist runs when the clock has jumped;
 * where it is set back, it runs once.
 */
export function parseSchedule(text: string, timezone: string): Schedule {
  if (!isTimezone(timezone)) {
    throw new Failure('usage', `"${printable(timezone)}" is not a time zone`, {
      hint: 'Use a name like Europe/Berlin, or UTC',
    })
  }
  const cron = parse(text, timezone)
  return {
    next: (time) => cron.nextRun(time) ?? undefined,
    last: (time) => cron.previousRuns(1, new Date(time.getTime() + 1000))[0],
  }
}

/**
 * What is to be done at `now`, when every due time up to `handled` has been dealt with: nothing,
 * or to run once for `run`, or to note that `missed` passed without a run. `handled` is the time up
 * to which all is dealt with then.
 */
export type Due = { run: Date | undefined; missed: Date | undefined; handled: Date }

export function whatIsDue(schedule: Schedule, handled: Date, now: Date): Due | undefined {
  // The clock was set back by a lot: what it now shows is where the job begins anew.
  if (handled.getTime() - now.getTime() > lateMostMs) {
    return { run: undefined, missed: undefined, handled: now }
  }
  const first = schedule.next(handled)
  if (!first || first > now) return undefined
  const last = schedule.last(now) ?? first
  if (now.getTime() - last.getTime() >= lateMostMs) {
    return { run: undefined, missed: last, handled: last }
  }
  // Several passed: the job runs once, for the last of them.
  return { run: last, missed: first < last ? first : undefined, handled: last }
}

function parse(text: string, timezone: string): Cron {
  const fields = text.trim().split(/\s+/).length
  if (!text.startsWith('@') && fields !== 5) {
    throw badSchedule(text, `it has ${fields} ${fields === 1 ? 'field' : 'fields'}`)
  }
  try {
    const cron = new Cron(text, { timezone, mode: '5-part', paused: true })
    if (cron.nextRun()) return cron
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error)
    throw badSchedule(text, why)
  }
  throw badSchedule(text, 'it is never due')
}

function badSchedule(text: string, why: string): Failure {
  return new Failure('usage', `"${printable(text)}" is not a schedule: ${why}`, {
    hint: 'Use five fields, such as "*/15 * * * *" or "30 2 * * mon-fri", or @hourly, @daily, @weekly',
  })
}

function isTimezone(name: string): boolean {
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions()
    return /^[A-Za-z]/.test(timeZone)
  } catch {
    return false
  }
}
