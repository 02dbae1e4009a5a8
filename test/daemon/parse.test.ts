import { describe, expect, test } from 'vitest'
import { didYouMean, parseCommand } from '../../daemon/commands/parse.ts'
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

  test('answers a bare namespace, no command at all and :help with help', () => {
    expect(parse('config')).toMatchObject({ command: { name: 'help' }, args: ['config'] })
    expect(parse('config:help')).toMatchObject({ command: { name: 'help' }, args: ['config'] })
    expect(parse()).toMatchObject({ command: { name: 'help' } })
  })

  test('names the nearest command, the unknown option and the missing value', () => {
    expect(() => parse('config:sett')).toThrow('"config:sett" is not a command')
    expect(() => parse('ps', 'shop', '--jsno')).toThrow("Unknown option '--jsno'")
    expect(() => parse('ps', '--app')).toThrow(/argument missing/)
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
