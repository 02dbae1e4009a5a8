import { expect, test } from 'vitest'
import { withoutNpmUsage } from '../../builder/steps/npm-words.ts'

test("of npm's failure what went wrong is passed on, and not how npm is called", () => {
  const lines = [
    'npm error code EUSAGE',
    'npm error',
    'npm error `npm ci` can only install packages when both are in sync.',
    'npm error',
    'npm error Missing: is-odd@3.0.1 from lock file',
    'npm error',
    'npm error Clean install a project',
    'npm error',
    'npm error Usage:',
    'npm error npm ci',
    'npm error   --omit',
    'npm error aliases: clean-install, ic',
    'npm error',
    'npm error Run "npm help ci" for more info',
    'npm error Exit handler never called!',
    'npm error A complete log of this run can be found in: /cache/_logs/x-debug-0.log',
  ]
  const passed: string[] = []
  lines.forEach(withoutNpmUsage((line) => void passed.push(line)))
  expect(passed).toEqual([
    'npm error code EUSAGE',
    'npm error `npm ci` can only install packages when both are in sync.',
    'npm error Missing: is-odd@3.0.1 from lock file',
    'npm error Exit handler never called!',
  ])
})

test('older words of npm are known, and other output is left as it is', () => {
  const passed: string[] = []
  const pass = withoutNpmUsage((line) => void passed.push(line))
  const lines = ['npm ERR! Usage:', 'npm ERR! npm ci', 'Usage:', '', '  npm error in my own log']
  lines.forEach(pass)
  expect(passed).toEqual(['Usage:', '', '  npm error in my own log'])
})
