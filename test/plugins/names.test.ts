import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bundledPlugins } from '../../plugins/load.ts'
import { triggers } from '../../plugins/names.ts'

test("the README's table of triggers is the table that the code reads", () => {
  const readme = readFileSync(join(bundledPlugins, 'README.md'), 'utf8')
  const rows = readme.split('\n').filter((line) => line.startsWith('| `'))
  const expected = Object.entries(triggers).map(([name, { when, args, stops }]) => {
    const words = args.map((arg) => `\`${arg}\``).join(' ')
    return `| \`${name}\` | ${when} | ${words} | ${stops ? 'yes' : ''} |`
  })
  expect(rows).toEqual(expected)
})
