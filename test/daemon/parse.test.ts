import { describe, expect, test } from 'vitest'
import { didYouMean } from '../../core/did-you-mean.ts'
import { parseCommand } from '../../daemon/commands/parse.ts'
import { table } from '../../daemon/commands/table.ts'

const parse = (...argv: string[]) => parseCommand(argv, table)

describe('parseCommand', () => {
  test('takes global flags before and after the command', () => {
    for (const argv of [
      ['--json', 'ps', 'shop'],
      ['ps', '--json', 'shop'],
      ['ps', 'shop', '--json'],
    ]) {
      expect(parse(...argv)).toMatchObject({ app: 'shop', json: true, args: [] })
    }
  })

  test('takes the app from --app or from the first argument', () => {
    expect(parse('--app', 'shop', 'config:get', 'KEY')).toMatchObject({
      app: 'shop',
      args: ['KEY'],
    })
    expect(parse('config:get', 'shop', 'KEY')).toMatchObject({ app: 'shop', args: ['KEY'] })
    expect(parse('--app', 'shop', 'logs:drain', 'add', 'https://x').args).toEqual([
      ...['add', 'shop', 'https://x'],
    ])
    expect(parse('--app', 'shop', 'disk').args).toEqual(['shop'])
    expect(parse('--app', 'shop', 'apps:list').args).toEqual([])
  })

  test('leaves everything after the app of `run` to the command', () => {
    const parsed = parse('run', '--env', 'A=1', 'shop', 'node', '--version', '--json', '-e', 'x')
    expect(parsed).toMatchObject({ app: 'shop', json: false, options: { env: ['A=1'] } })
    expect(parsed.args).toEqual(['node', '--version', '--json', '-e', 'x'])
    expect(parse('run', 'shop', '--', '-x').args).toEqual(['-x'])
    expect(parse('--app', 'shop', 'run', 'ls').args).toEqual(['ls'])
  })

  test('takes options of `run` and `cron:add` behind the app too, and refuses those of nobody', () => {
    const parsed = parse('run', '--env', 'A=1', 'shop', '--ttl=1h', '--env', 'B=2', 'ls', '--ttl')
    expect(parsed).toMatchObject({ app: 'shop', options: { env: ['A=1', 'B=2'], ttl: '1h' } })
    expect(parsed.args).toEqual(['ls', '--ttl'])
    const job = parse('cron:add', 'shop', '--timezone', 'Europe/Berlin', '@daily', 'ls')
    expect(job).toMatchObject({ args: ['@daily', 'ls'], options: { timezone: 'Europe/Berlin' } })
    expect(() => parse('run', 'shop', '--tll', '1h', 'ls')).toThrow("Unknown option '--tll'")
    expect(() => parse('run', 'shop', '--app', 'other', 'ls')).toThrow('Two apps are named')
    expect(parse('--app', 'shop', 'run', '--ttl', '1h', 'ls').args).toEqual(['ls'])
  })

  test('counts the arguments that are too many, and repeats none', () => {
    expect(() => parse('registry:login', 'r.example.com', 'me', 'hunter2')).toThrow(
      /^registry:login takes at most 2 arguments: 3 were given$/,
    )
    expect(() => parse('--app', 'shop', 'A=hunter2')).toThrow('"A=***" is not a command')
    expect(() => parse('apps:list', 'x')).toThrow('apps:list takes no argument: 1 was given')
    expect(() => parse('ps', 'shop', 'x')).toThrow('ps takes at most 1 argument: 2 were given')
    expect(() => parse('maintenance:on', 'shop', 'page.html')).toThrow('at most 1 argument')
  })

  test('answers a bare namespace, no command at all and :help with help', () => {
    expect(parse('config')).toMatchObject({ command: { name: 'help' }, args: ['config'] })
    expect(parse('config:help')).toMatchObject({ command: { name: 'help' }, args: ['config'] })
    expect(parse()).toMatchObject({ command: { name: 'help' } })
    expect(parse('config', '--json')).toMatchObject({ command: { name: 'help' }, json: true })
    expect(parse('config', '--help')).toMatchObject({ args: ['config'], help: false })
    expect(parse('ps')).toMatchObject({ command: { name: 'help' }, args: ['ps'] })
    expect(parse('--app', 'shop', 'ps')).toMatchObject({ command: { name: 'ps' }, app: 'shop' })
    expect(() => parse('config', 'set', 'shop')).toThrow('"config" is not a command')
  })

  test('names the nearest command, the unknown option and the missing value', () => {
    expect(() => parse('config:sett')).toThrow('"config:sett" is not a command')
    expect(() => parse('ps', 'shop', '--jsno')).toThrow("Unknown option '--jsno'")
    expect(() => parse('ps', '--app')).toThrow(/argument missing/)
    expect(() => parse('logs', 'shop', '-p', 'web', '-p', 'worker')).toThrow(
      'Option --ps is given twice',
    )
    expect(() => parse('\x1b[31mred')).toThrow('"?[31mred" is not a command')
  })

  test('has a command table in which every name is there once', () => {
    const names = table.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const { usage, app, verbatim } of table) {
      if (app && !verbatim) expect(usage).toMatch(/^APP\b/)
    }
  })
})

test('didYouMean finds what a slip of the finger meant', () => {
  expect(didYouMean('shpo', ['shop', 'blog'])).toBe('Did you mean "shop"?')
  expect(didYouMean('something-else', ['shop', 'blog'])).toBeUndefined()
  expect(didYouMean('x', [])).toBeUndefined()
})
