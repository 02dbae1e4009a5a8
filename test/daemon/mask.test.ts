import { expect, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import { maskedFailure, maskerOf } from '../../daemon/mask.ts'

test('every value of four characters or more becomes stars, wherever it stands', () => {
  const mask = maskerOf({ A: 'hunter2', B: '123', C: 'hunter2-and-more', E: '' })
  expect(mask('a=hunter2 b=123 c=hunter2-and-more hunter2')).toBe('a=**** b=123 c=**** ****')
})

test('a value of several lines is known by each of them, and as JSON shows it', () => {
  const mask = maskerOf({ KEY: '-----BEGIN\nabcdef\nxy\n-----END', Q: 'say "friend"' })
  expect(['x -----BEGIN', 'abcdef', 'xy', '-----END'].map(mask)).toEqual([
    'x ****',
    '****',
    'xy',
    '****',
  ])
  expect(mask('{"KEY":"-----BEGIN\\nabcdef\\nxy\\n-----END","Q":"say \\"friend\\""}')).toBe(
    '{"KEY":"****","Q":"****"}',
  )
})

test('a value that comes in parts because its line is too long is known by the parts', () => {
  const value = Array.from({ length: 4000 }, (_, index) => index.toString(36)).join('.')
  const line = `before ${value} after`
  const parts = [line.slice(0, 5000), line.slice(5000, 10_000), line.slice(10_000)]
  expect(parts.map(maskerOf({ LONG: value }))).toEqual(['before ****', '****', '**** after'])
})

test('a failure is masked in its sentence, its hint and the last lines it shows', () => {
  const error = new Failure('temporary', 'saw hunter2', {
    hint: 'no hunter2',
    details: ['hunter2'],
  })
  const { code, message, hint, details } = maskedFailure({ A: 'hunter2' }, error)
  expect([code, message, hint, details]).toEqual(['temporary', 'saw ****', 'no ****', ['****']])
})
