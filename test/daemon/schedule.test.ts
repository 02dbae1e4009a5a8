import { describe, expect, test } from 'vitest'
import { parseSchedule, whatIsDue } from '../../daemon/runs/schedule.ts'

const at = (text: string) => new Date(text)
const utc = (text: string) => parseSchedule(text, 'UTC')
const iso = (time: Date | undefined) => time?.toISOString().replace(':00.000Z', 'Z')

/** The first `count` due times after `from`. */
function times(schedule: ReturnType<typeof parseSchedule>, from: string, count: number): string[] {
  const found: string[] = []
  for (let time = at(from); found.length < count;) {
    const next = schedule.next(time)
    if (!next) break
    found.push(iso(next) ?? '')
    time = next
  }
  return found
}

describe('schedules', () => {
  test('five fields, names and nicknames are understood', () => {
    expect(times(utc('*/20 * * * *'), '2026-01-01T00:00:00Z', 3)).toEqual([
      '2026-01-01T00:20Z',
      '2026-01-01T00:40Z',
      '2026-01-01T01:00Z',
    ])
    expect(times(utc('0 9 * jan mon'), '2026-01-01T00:00:00Z', 1)).toEqual(['2026-01-05T09:00Z'])
    expect(times(utc('@daily'), '2026-01-01T12:00:00Z', 1)).toEqual(['2026-01-02T00:00Z'])
  })

  test('the last due time counts the very minute', () => {
    const hourly = utc('0 * * * *')
    expect(iso(hourly.last(at('2026-01-01T10:00:00Z')))).toBe('2026-01-01T10:00Z')
    expect(iso(hourly.last(at('2026-01-01T10:00:00.400Z')))).toBe('2026-01-01T10:00Z')
    expect(iso(hourly.last(at('2026-01-01T09:59:58.900Z')))).toBe('2026-01-01T09:00Z')
    expect(iso(hourly.last(at('2026-01-01T10:30:00Z')))).toBe('2026-01-01T10:00Z')
  })

  test('a time zone is kept to through a year', () => {
    const berlin = parseSchedule('0 9 * * *', 'Europe/Berlin')
    expect(times(berlin, '2026-01-01T12:00:00Z', 1)).toEqual(['2026-01-02T08:00Z'])
    expect(times(berlin, '2026-07-01T12:00:00Z', 1)).toEqual(['2026-07-02T07:00Z'])
  })

  test('a fixed time that the clock jumps over runs right after, one that comes twice runs once', () => {
    const berlin = parseSchedule('30 2 * * *', 'Europe/Berlin')
    expect(times(berlin, '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ])
    expect(times(berlin, '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30Z',
      '2026-10-26T01:30Z',
    ])
  })

  test.each([
    ['nonsense', 'UTC'],
    ['* * * *', 'UTC'],
    ['* * * * * *', 'UTC'],
    ['61 * * * *', 'UTC'],
    ['0 0 31 2 *', 'UTC'],
    ['', 'UTC'],
    ['* * * * *', 'Mars/Olympus'],
    ['* * * * *', '+01:00'],
  ])('"%s" in %s is refused', (text, timezone) => {
    expect(() => parseSchedule(text, timezone)).toThrow(/is not a (schedule|time zone)/)
  })

  test('of another number of fields than five is told how many it has', () => {
    expect(() => parseSchedule('* * * *', 'UTC')).toThrow(/is not a schedule: it has 4 fields$/)
    expect(() => parseSchedule('nonsense', 'UTC')).toThrow(/is not a schedule: it has 1 field$/)
  })
})

describe('what is due', () => {
  const hourly = utc('0 * * * *')
  const due = (handled: string, now: string, schedule = hourly) => {
    const found = whatIsDue(schedule, at(handled), at(now))
    return found && { run: iso(found.run), missed: iso(found.missed), handled: iso(found.handled) }
  }

  test('nothing before its time, and nothing twice', () => {
    expect(due('2026-01-01T09:00:00Z', '2026-01-01T09:59:59.999Z')).toBeUndefined()
    expect(due('2026-01-01T10:00:00Z', '2026-01-01T10:00:00.500Z')).toBeUndefined()
  })

  test('it runs on time', () => {
    expect(due('2026-01-01T09:00:00Z', '2026-01-01T10:00:00.003Z')).toEqual({
      run: '2026-01-01T10:00Z',
      missed: undefined,
      handled: '2026-01-01T10:00Z',
    })
  })

  test('missed by less than an hour, it runs once, however often it was due', () => {
    expect(due('2026-01-01T04:00:00Z', '2026-01-01T10:59:59Z')).toEqual({
      run: '2026-01-01T10:00Z',
      missed: '2026-01-01T05:00Z',
      handled: '2026-01-01T10:00Z',
    })
  })

  test('missed by an hour or more, it is noted and does not run', () => {
    const daily = utc('0 3 * * *')
    expect(due('2026-01-01T03:00:00Z', '2026-01-05T04:00:00Z', daily)).toEqual({
      run: undefined,
      missed: '2026-01-05T03:00Z',
      handled: '2026-01-05T03:00Z',
    })
  })

  test('a clock set back a little repeats nothing, set back by a lot it begins anew', () => {
    expect(due('2026-01-01T10:00:00Z', '2026-01-01T09:30:00Z')).toBeUndefined()
    expect(due('2026-01-05T10:00:00Z', '2026-01-01T09:30:00Z')).toEqual({
      run: undefined,
      missed: undefined,
      handled: '2026-01-01T09:30Z',
    })
  })
})
