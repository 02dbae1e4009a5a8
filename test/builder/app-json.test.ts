import { describe, expect, test } from 'vitest'
import { toAppJson, unknownTypes } from '../../builder/app-json.ts'
import { parseJson, withoutComments } from '../../builder/json-document.ts'
import { failureLines } from '../../core/errors.ts'

const parseText = (text: string) => toAppJson(parseJson('app.json', text))
const parse = (value: unknown) => parseText(JSON.stringify(value))

describe('app.json', () => {
  test('may have comments and trailing commas, and strings that look like them', () => {
    const text = `{
      // how it is called
      "name": "shop", /* not
        ours */
      "env": { "URL": "http://x/*y*/", "LIST": "a,]", },
    }`
    const { env } = parseText(text)
    expect(env.URL?.value).toBe('http://x/*y*/')
    expect(env.LIST?.value).toBe('a,]')
    expect(withoutComments('1 /* a\nb */ 2').split('\n')).toHaveLength(2)
  })

  test('without any part that paas knows asks for nothing', () => {
    expect(parse({ name: 'x', addons: ['y'], stack: null, env: null })).toEqual({
      env: {},
      formation: {},
      healthchecks: {},
      scripts: {},
    })
  })

  test('env is text, or an object that says how the value comes about', () => {
    const { env } = parse({
      env: {
        A: 'a',
        B: { value: 'b', sync: true },
        C: { generator: 'secret', description: 'ignored' },
        D: { description: 'somebody must set it' },
        E: { required: false },
      },
    })
    expect(env).toEqual({
      A: { value: 'a', required: false, generate: false, sync: false },
      B: { value: 'b', required: false, generate: false, sync: true },
      C: { required: false, generate: true, sync: false },
      D: { required: true, generate: false, sync: false },
      E: { required: false, generate: false, sync: false },
    })
  })

  test('formation has sizes in bytes and cores', () => {
    const { formation } = parse({
      formation: {
        web: { quantity: 2, memory: '256m', cpu: 0.5, size: 'standard-1x' },
        worker: { exclusive: true, memory: 128, cpu: '2' },
      },
    })
    expect(formation).toEqual({
      web: { quantity: 2, memoryBytes: 256 * 1024 ** 2, cpus: 0.5, exclusive: false },
      worker: { exclusive: true, memoryBytes: 128 * 1024 ** 2, cpus: 2 },
    })
  })

  test('health checks have defaults, and times in milliseconds', () => {
    const { healthchecks } = parse({
      healthchecks: {
        web: [
          { type: 'readiness', path: '/health?x=1' },
          { type: 'liveness', path: '/live', attempts: 2, timeout: 0.5, wait: 1, initialDelay: 3 },
          { listening: true, port: 8080 },
        ],
        worker: [
          { type: 'startup', command: 'test -e /tmp/up' },
          { type: 'readiness', command: ['node', 'a b.js'] },
          { type: 'startup', uptime: 3 },
        ],
      },
    })
    const rest = { attempts: 3, timeoutMs: 5000, initialDelayMs: 0 }
    expect(healthchecks).toEqual({
      web: [
        { ...rest, type: 'readiness', probe: { kind: 'path', path: '/health?x=1' } },
        {
          type: 'liveness',
          probe: { kind: 'path', path: '/live' },
          attempts: 2,
          timeoutMs: 500,
          waitMs: 1000,
          initialDelayMs: 3000,
        },
        { ...rest, type: 'startup', probe: { kind: 'listening', port: 8080 } },
      ],
      worker: [
        {
          ...rest,
          type: 'startup',
          probe: { kind: 'command', argv: ['sh', '-c', 'test -e /tmp/up'] },
        },
        { ...rest, type: 'readiness', probe: { kind: 'command', argv: ['node', 'a b.js'] } },
        { ...rest, type: 'startup', probe: { kind: 'uptime', uptimeMs: 3000 } },
      ],
    })
  })

  test('scripts are those of Dokku and that of Heroku', () => {
    const scripts = { dokku: { predeploy: 'a', postdeploy: 'b' }, postdeploy: 'c', test: 'd' }
    expect(parse({ scripts }).scripts).toEqual({
      predeploy: 'a',
      postdeploy: 'b',
      firstDeploy: 'c',
    })
  })

  test('types that the code does not have are found', () => {
    const appJson = parse({
      formation: { web: {}, wroker: {} },
      healthchecks: { wroker: [], job: [] },
    })
    expect(unknownTypes(appJson, { web: 'x', worker: 'y' })).toEqual(['wroker', 'job'])
  })
})

const check = (value: unknown) => ({ healthchecks: { web: [value] } })

const bad: [document: unknown, message: string][] = [
  [[], 'app.json is a list: expected an object'],
  ['text', 'app.json is "text": expected an object'],
  [{ env: [] }, 'env in app.json is a list: expected an object'],
  [{ env: { A: 5 } }, 'env.A in app.json is 5: expected text, or an object'],
  [{ env: { PORT: '1' } }, 'env in app.json: PORT is set by paas itself and cannot be changed'],
  [{ env: { '1A': '1' } }, 'env in app.json: "1A" is not a config key'],
  [
    { env: { A: 'x\0' } },
    'env.A in app.json is too long or binary: expected at most 65536 bytes and no NUL',
  ],
  [
    { env: { A: { generator: 'uuid' } } },
    'env.A.generator in app.json is "uuid": expected "secret"',
  ],
  [
    { env: { A: { required: 'yes' } } },
    'env.A.required in app.json is "yes": expected true or false',
  ],
  [
    { formation: { web: { quantity: 1.5 } } },
    'formation.web.quantity in app.json is 1.5: expected a whole number from 0 to 12',
  ],
  [
    { formation: { worker: { quantity: -1 } } },
    'formation.worker.quantity in app.json is -1: expected a whole number from 0 to 64',
  ],
  [
    { formation: { web: { memory: '1m' } } },
    'formation.web.memory in app.json is "1m": expected a size like "256m" or "1g", at least "16m"',
  ],
  [
    { formation: { web: { cpu: 'two' } } },
    'formation.web.cpu in app.json is "two": expected a number from 0.01 to 1024',
  ],
  [{ formation: { Web: {} } }, 'formation.Web in app.json is not for a process type'],
  [{ formation: { '../x': {} } }, 'formation.../x in app.json is not for a process type'],
  [{ healthchecks: { web: {} } }, 'healthchecks.web in app.json is an object: expected a list'],
  [
    check({ type: 'alive', path: '/' }),
    'healthchecks.web[0].type in app.json is "alive": expected "startup", "readiness" or "liveness"',
  ],
  [check({}), 'healthchecks.web[0] in app.json has none of path, command, …'],
  [
    check({ path: '/', uptime: 1 }),
    'healthchecks.web[0] in app.json has more than one of path, command, …',
  ],
  [
    check({ path: 'health' }),
    'healthchecks.web[0].path in app.json is "health": expected a path like "/health"',
  ],
  [
    check({ path: '/a b' }),
    'healthchecks.web[0].path in app.json is "/a b": expected a path like "/health"',
  ],
  [
    check({ command: [] }),
    'healthchecks.web[0].command in app.json is a list: expected a program and its arguments',
  ],
  [
    check({ command: ' ' }),
    'healthchecks.web[0].command in app.json is " ": expected text that is not empty',
  ],
  [
    check({ path: '/', timeout: 0 }),
    'healthchecks.web[0].timeout in app.json is 0: expected a number from 0.1 to 3600',
  ],
  [
    check({ path: '/', attempts: 0 }),
    'healthchecks.web[0].attempts in app.json is 0: expected a whole number from 1 to 100',
  ],
  [
    check({ path: '/', wait: '5' }),
    'healthchecks.web[0].wait in app.json is "5": expected a number from 0 to 3600',
  ],
  [
    check({ type: 'liveness', uptime: 5 }),
    'healthchecks.web[0] in app.json is a liveness check of uptime',
  ],
  [
    { scripts: { dokku: { predeploy: [] } } },
    'scripts.dokku.predeploy in app.json is a list: expected text',
  ],
]

test.each(bad)('what is wrong is named with its place: %j', (document, message) => {
  expect(lines(JSON.stringify(document))[0]).toBe(` !     ${message}`)
})

const broken: [text: string, why: string][] = [
  ['{\n  // comment\n  "env": }', 'unexpected } in line 3, column 10'],
  ['{"env": {"KEY": secret}}', 'unexpected s in line 1, column 17'],
  ['{\n"a": 1\n"b": 2}', 'unexpected " in line 3, column 1'],
  ["{'a': 1}", "unexpected ' in line 1, column 2"],
  ['{"a": 1} x', 'unexpected x in line 1, column 10'],
  ['{"a": 01}', 'unexpected 1 in line 1, column 8'],
  ['{"a": [tru, 1]}', 'unexpected , in line 1, column 11'],
  ['{"a": "x\ny"}', 'unexpected ? in line 1, column 9'],
  ['{"a": "\\q"}', 'unexpected q in line 1, column 9'],
  ['{"a": [1, 2', 'it ends too early'],
  ['{"a": /* never', 'unexpected / in line 1, column 7'],
  ['', 'it ends too early'],
]

test.each(broken)('text that is no JSON is refused with its place: %j', (text, why) => {
  expect(lines(text)[0]).toBe(` !     app.json is not valid JSON: ${why}`)
})

test('a hostile key is shown without its control characters', () => {
  expect(lines('{"formation": {"\\u001b[2J": {}}}')[0]).toBe(
    ' !     formation.?[2J in app.json is not for a process type',
  )
})

function lines(text: string): string[] {
  try {
    parseText(text)
  } catch (error) {
    return failureLines(error)
  }
  return []
}
