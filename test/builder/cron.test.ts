import { expect, test } from 'vitest'
import { toCron } from '../../builder/cron.ts'
import { parseJson } from '../../builder/json-document.ts'

const cronOf = (text: string) => toCron(parseJson('app.json', text))

test('the cron of an app.json is read, comments and all', () => {
  const text = `{
    // nightly
    "cron": [
      { "command": "node clean.js // not a comment", "schedule": "0 3 * * *" },
      /* in the office */
      { "command": "x", "schedule": "@hourly", "timezone": "Europe/Berlin",
        "concurrency_policy": "replace", "unknown": 1 },
    ],
  }`
  expect(cronOf(text)).toEqual([
    {
      command: 'node clean.js // not a comment',
      schedule: '0 3 * * *',
      timezone: 'UTC',
      concurrency: 'forbid',
    },
    { command: 'x', schedule: '@hourly', timezone: 'Europe/Berlin', concurrency: 'replace' },
  ])
  expect(cronOf('{}')).toBeUndefined()
})

test.each([
  ['{"cron": 1}', 'cron in app.json is 1: expected a list'],
  ['{"cron": [1]}', 'cron[0] in app.json is 1: expected an object'],
  ['{"cron": [{"schedule": "@daily"}]}', 'cron[0].command in app.json is missing: expected'],
  ['{"cron": [{"command": "x"}]}', 'cron[0].schedule in app.json is missing: expected'],
  [
    '{"cron": [{"command": "x", "schedule": "@daily", "concurrency_policy": "no"}]}',
    'cron[0].concurrency_policy in app.json is "no": expected allow, forbid, replace',
  ],
  ['{', 'app.json is not valid JSON: it ends too early'],
])('%s is refused', (text, sentence) => {
  expect(() => cronOf(text)).toThrow(sentence)
})
