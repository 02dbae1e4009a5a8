import { Failure } from '../core/errors.ts'
import { parseAppName } from '../core/names.ts'

/** What one SSH channel was opened for. `argv[0]` is a command of ours, such as `config:set`. */
export type Request =
  | { kind: 'receive-pack'; app: string }
  | { kind: 'upload-pack'; app: string }
  | { kind: 'command'; argv: string[] }

/**
 * Reads the line that an SSH client sent; an empty line asks for help.
 * Throws a usage Failure on unbalanced quotes, on NUL, and on git requests that name no app.
 */
export function parseRequest(line: string): Request {
  const words = splitWords(line)
  const [program, ...rest] = words[0] === 'git' ? joinGit(words) : words
  if (program === undefined) return { kind: 'command', argv: ['help'] }
  if (program === 'git-receive-pack') return { kind: 'receive-pack', app: onlyApp(program, rest) }
  if (program === 'git-upload-pack') return { kind: 'upload-pack', app: onlyApp(program, rest) }
  return { kind: 'command', argv: [program, ...rest] }
}

/**
 * Splits as a POSIX shell would split quotes and backslashes, with no expansion of any kind:
 * `$`, a backtick, `*`, `~`, `;` and `#` mean themselves.
 */
export function splitWords(line: string): string[] {
  if (line.includes('\0')) throw new Failure('usage', 'The command contains a NUL byte')
  const words: string[] = []
  let word: string | undefined
  let at = 0
  while (at < line.length) {
    const char = line.charAt(at)
    if (blank(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
      at += 1
      continue
    }
    const piece = readPiece(line, at)
    // A backslash before a newline joins two lines and makes no word by itself.
    if (piece.text !== '' || char !== '\\') word = (word ?? '') + piece.text
    at = piece.end
  }
  if (word !== undefined) words.push(word)
  return words
}

type Piece = { text: string; end: number }

function readPiece(line: string, at: number): Piece {
  const char = line.charAt(at)
  if (char === "'") return readSingleQuoted(line, at + 1)
  if (char === '"') return readDoubleQuoted(line, at + 1)
  if (char !== '\\') return { text: char, end: at + 1 }
  if (at + 1 === line.length) throw unbalanced('a backslash at the end')
  const next = line.charAt(at + 1)
  return { text: next === '\n' ? '' : next, end: at + 2 }
}

function readSingleQuoted(line: string, start: number): Piece {
  const end = line.indexOf("'", start)
  if (end < 0) throw unbalanced("a ' that is never closed")
  return { text: line.slice(start, end), end: end + 1 }
}

function readDoubleQuoted(line: string, start: number): Piece {
  let text = ''
  for (let at = start; at < line.length; at += 1) {
    const char = line.charAt(at)
    if (char === '"') return { text, end: at + 1 }
    const next = line.charAt(at + 1)
    if (char === '\\' && next !== '' && '$`"\\\n'.includes(next)) {
      if (next !== '\n') text += next
      at += 1
    } else {
      text += char
    }
  }
  throw unbalanced('a " that is never closed')
}

function blank(char: string): boolean {
  return char === ' ' || char === '\t' || char === '\n' || char === '\r'
}

function unbalanced(what: string): Failure {
  return new Failure('usage', `Could not read the command: it has ${what}`, {
    hint: 'ssh takes one pair of quotes away: write ssh paas "config:set shop MOTTO=\'two words\'"',
  })
}

function joinGit(words: string[]): string[] {
  const [, verb, ...rest] = words
  return verb === 'receive-pack' || verb === 'upload-pack' ? [`git-${verb}`, ...rest] : words
}

function onlyApp(program: string, args: string[]): string {
  const [app] = args
  if (app === undefined || args.length !== 1) {
    throw new Failure('usage', `${program} takes the name of one app: got ${args.length} arguments`)
  }
  return parseAppName(app)
}
