import { expect, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { formatConfig, parseConfigText, parseEnvFile } from '../../daemon/apps/env-file.ts'

const odd = {
  PLAIN: 'value',
  EMPTY: '',
  LINES: 'one\ntwo\r\n\tthree\n',
  SHELL: '$(id) `id` $HOME ${X} \\ \\n !',
  QUOTES: `it's "quoted" '' ""`,
  HASH: 'a # b',
  SPACES: '  both ends  ',
  UTF8: 'Grüße 日本 🚀 \u00e9\u0301',
  EQUALS: 'a=b=c',
  LONG: 'x'.repeat(65_536),
}

test.each(['env', 'shell', 'json'] as const)(
  'what is exported as %s is imported byte for byte',
  (format) => {
    expect(parseConfigText(formatConfig(odd, format).join('\n'))).toEqual(odd)
  },
)

test('what is exported for a shell is read by a shell byte for byte', async () => {
  const print = Object.keys(odd).map((key) => `printf '%s\\0' "$${key}"`)
  const script = [...formatConfig(odd, 'shell'), ...print].join('\n')
  const { stdout } = await exec('sh', ['-s'], { input: script })
  expect(stdout.split('\0').slice(0, -1)).toEqual(Object.values(odd))
})

test('an env file may have comments, export, quotes and spaces around', () => {
  const text = `# first
export A=1
  B = two words  # said why
C='as $is \\n'
D="line\\nnext \\"q\\" \\$x"

E="over
two lines" # and a comment
F=
URL=https://a.example/#part\r
`
  expect(parseEnvFile(text)).toEqual({
    A: '1',
    B: 'two words',
    C: 'as $is \\n',
    D: 'line\nnext "q" $x',
    E: 'over\ntwo lines',
    F: '',
    URL: 'https://a.example/#part',
  })
})

test.each([
  ['A=1\n\nnonsense s3cret\n', 'Line 3: expected KEY=value'],
  ['A="x\ny"\nB="s3cret\n', 'Line 3: the quote that opens B is never closed'],
  ['A=1\nA=s3cret\n', 'Line 2: A is set in line 1 already'],
  ['A=1\n1X=s3cret\n', 'Line 2: "1X" is not a config key'],
  ['PORT=s3cret\n', 'Line 1: PORT is set by paas itself and cannot be changed'],
  ['A="s3cret\nb" tail\n', 'Line 2: something follows the closing quote of A'],
  ['{\n  "A": "s3cret",\n  "B": 5\n}', 'Line 3: the value of B is no string'],
  ['{\n  "A": "s3cret"\n  "B": "c"\n}', 'Line 3: the JSON cannot be read from here on'],
  ['{\n  "A": "s3cret', 'Line 2: the JSON cannot be read from here on'],
])('a mistake is named by its line and no value is shown: %j', (text, message) => {
  let error: unknown
  try {
    parseConfigText(text)
  } catch (thrown) {
    error = thrown
  }
  if (!(error instanceof Failure)) throw new Error('no Failure was thrown')
  expect(error.message).toBe(message)
  expect(error.message + error.hint).not.toContain('s3cret')
})
