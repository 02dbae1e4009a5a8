import { describe, expect, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { parseRequest, splitWords } from '../../receiver/request.ts'

const words: [string, string[]][] = [
  ['apps:list', ['apps:list']],
  ['  config:set \t shop  A=1\nB=2 ', ['config:set', 'shop', 'A=1', 'B=2']],
  ["config:set shop 'A=two words'", ['config:set', 'shop', 'A=two words']],
  ['config:set shop "A=two words"', ['config:set', 'shop', 'A=two words']],
  ['a"b"\'c\'d', ['abcd']],
  ['\'\' "" x', ['', '', 'x']],
  ['\'a"b\' "c\'d"', ['a"b', "c'd"]],
  ['a\\ b \\"c\\" \\\\', ['a b', '"c"', '\\']],
  ['"\\$HOME \\` \\" \\\\ \\n \\a"', ['$HOME ` " \\ \\n \\a']],
  ["'\\n'", ['\\n']],
  ['$HOME `id` $(id) ~ * ? [a] {b,c}', ['$HOME', '`id`', '$(id)', '~', '*', '?', '[a]', '{b,c}']],
  ['a;b & c | d > e # f', ['a;b', '&', 'c', '|', 'd', '>', 'e', '#', 'f']],
  ['a\\\nb', ['ab']],
  ['a \\\n b', ['a', 'b']],
  ['"a\\\nb\nc"', ['ab\nc']],
  ['MOTTO=grüße\u00a0🎉', ['MOTTO=grüße\u00a0🎉']],
  ['', []],
]

describe('splitWords', () => {
  test.each(words)('reads %j', (line, expected) => {
    expect(splitWords(line)).toEqual(expected)
  })

  test.each(["'", '"', 'a "b', 'a\\', '"a\\"', 'x "\\'])('refuses %j', (line) => {
    expect(() => splitWords(line)).toThrow(Failure)
    expect(() => splitWords(line)).toThrow(/Could not read the command: it has a/)
  })

  test('refuses a NUL byte', () => {
    expect(() => splitWords('a\0b')).toThrow('The command contains a NUL byte')
  })

  test('takes any text apart as sh does, once what sh would expand is quoted', async () => {
    const lines = Array.from({ length: 300 }, () => randomLine()).filter(isBalanced)
    expect(lines.length).toBeGreaterThan(50)
    const script = 'for line do eval "set -- $line"; printf "%s\\0" "$#" "$@"; done'
    const { stdout } = await exec('sh', ['-f', '-c', script, 'sh', ...lines])
    const ours = lines.map(splitWords).flatMap((list) => [String(list.length)].concat(list))
    expect(stdout.split('\0').slice(0, -1)).toEqual(ours)
  })

  test('gives back any words that were quoted for it', () => {
    for (let round = 0; round < 2000; round += 1) {
      const list = Array.from({ length: random(5) }, () => randomText(12))
      expect(splitWords(list.map(quote).join(' '))).toEqual(list)
    }
  })

  test('either reads or refuses whatever bytes come', () => {
    for (let round = 0; round < 20_000; round += 1) {
      try {
        expect(Array.isArray(splitWords(randomText(30)))).toBe(true)
      } catch (error) {
        expect(error).toBeInstanceOf(Failure)
      }
    }
  })
})

describe('parseRequest', () => {
  test.each([
    "git-receive-pack 'shop'",
    "git-receive-pack '/shop.git'",
    'git receive-pack shop.git',
    "git-receive-pack '//shop'",
  ])('takes %j as a push to shop', (line) => {
    expect(parseRequest(line)).toEqual({ kind: 'receive-pack', app: 'shop' })
  })

  test('takes git-upload-pack as a fetch', () => {
    expect(parseRequest("git-upload-pack 'shop'")).toEqual({ kind: 'upload-pack', app: 'shop' })
  })

  test('gives other words to the commands', () => {
    expect(parseRequest('run shop -- ls -l')).toEqual({
      kind: 'command',
      argv: ['run', 'shop', '--', 'ls', '-l'],
    })
    expect(parseRequest('git status')).toEqual({ kind: 'command', argv: ['git', 'status'] })
  })

  test('takes nothing as a wish for help', () => {
    expect(parseRequest('')).toEqual({ kind: 'command', argv: ['help'] })
    expect(parseRequest(' \n')).toEqual({ kind: 'command', argv: ['help'] })
  })

  test.each([
    'git-receive-pack',
    'git-receive-pack a b',
    "git-receive-pack '../etc'",
    "git-receive-pack 'a/b'",
    "git-receive-pack '-x'",
    "git-receive-pack --strict 'shop'",
    "git-upload-pack 'Shop'",
    "git-receive-pack ''",
    "git-receive-pack 'shop\nx'",
  ])('refuses %j', (line) => {
    expect(() => parseRequest(line)).toThrow(Failure)
  })
})

function random(below: number): number {
  return Math.floor(Math.random() * below)
}

function randomText(most: number): string {
  const alphabet = ' \t\nab\'"\\$`*~;#|&()<>{}[]?!=%é🎉\u0001'
  const characters = [...alphabet]
  return Array.from({ length: random(most) }, () => characters[random(characters.length)]).join('')
}

/** Only what sh gives no meaning of its own, outside and inside of double quotes. */
function randomLine(): string {
  const characters = [...' \tab\'"\\=%,é']
  return Array.from({ length: random(20) }, () => characters[random(characters.length)]).join('')
}

function isBalanced(line: string): boolean {
  try {
    splitWords(line)
    return true
  } catch {
    return false
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
