import { expect, test } from 'vitest'
import { parseCron } from '../../builder/cron.ts'

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
  expect(parseCron(text)).toEqual([
    {
      command: 'node clean.js // not a comment',
      schedule: '0 3 * * *',
      timezone: 'UTC',
      concurrency: 'forbid',
    },
    { command: 'x', schedule: '@hourly', timezone: 'Europe/Berlin', concurrency: 'replace' },
  ])
  expect(parseCron('{}')).toBeUndefined()
})

test.each([
  ['{"cron": 1}', 'cron in app.json is wrong: expected a list'],
  ['{"cron": [1]}', 'cron[0] in app.json'],
  ['{"cron": [{"schedule": "@daily"}]}', 'cron[0].command in app.json'],
  ['{"cron": [{"command": "x"}]}', 'cron[0].schedule in app.json'],
  [
    '{"cron": [{"command": "x", "schedule": "@daily", "concurrency_policy": "no"}]}',
    'cron[0].concurrency_policy in app.json is wrong: expected allow, forbid, replace',
  ],
  ['{', 'app.json is not valid JSON: it ends too early'],
])('%s is refused', (text, sentence) => {
  expect(() => parseCron(text)).toThrow(sentence)
})
