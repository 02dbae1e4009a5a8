import { expect, test } from 'vitest'
import { parseProcfile } from '../../builder/buildpack-detect/procfile.ts'
import { failureLines } from '../../core/errors.ts'

test('A Procfile maps process types to commands', () => {
  const text =
    '# processes\r\nweb: node server.js --port $PORT\r\n\n  worker:node worker.js\nrelease : x'
  expect(parseProcfile(text)).toEqual({
    web: 'node server.js --port $PORT',
    worker: 'node worker.js',
    release: 'x',
  })
})

test('A command may itself contain colons and hashes', () => {
  expect(parseProcfile('web: run a:b # c')).toEqual({ web: 'run a:b # c' })
})

const bad: [text: string, message: string][] = [
  ['web: a\nweb node server.js', 'Procfile line 2: "web node server.js" has no ":"'],
  ['web: a\n\n# b\nweb: c', 'Procfile line 4: "web" is on line 1 already'],
  ['Web: a', 'Procfile line 1: "Web" is not a process type'],
  ['1st: a', 'Procfile line 1: "1st" is not a process type'],
  ['web app: a', 'Procfile line 1: "web app" is not a process type'],
  ['../x: a', 'Procfile line 1: "../x" is not a process type'],
  [': a', 'Procfile line 1: "" is not a process type'],
  [`${'w'.repeat(64)}: a`, `Procfile line 1: "${'w'.repeat(64)}" is not a process type`],
  ['web:   ', 'Procfile line 1: "web" has no command'],
  ['web: a\0b', 'Procfile line 1: the command of "web" is not one that a shell can run'],
  ['\u001b[31mweb', 'Procfile line 1: "?[31mweb" has no ":"'],
  ['', 'Procfile has no processes'],
  ['# nothing\n', 'Procfile has no processes'],
]

test.each(bad)('A bad line is named by its number: %j', (text, message) => {
  expect(lines(() => parseProcfile(text))[0]).toBe(` !     ${message}`)
})

function lines(act: () => unknown): string[] {
  try {
    act()
  } catch (error) {
    return failureLines(error)
  }
  return []
}
