import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readConfig } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import { openJournal } from '../../daemon/logs/journal.ts'
import { tailLogs } from '../../runner/logs.ts'

test('a flood of lines waits in little memory, and what is left out is said', async () => {
  const home = await mkdtemp(join(tmpdir(), 'paas-journal-'))
  const config = readConfig({ PAAS_HOME: home })
  const journal = openJournal(config)
  try {
    const source = { process: 'build.1', release: 0 }
    journal.write('shop', { process: 'paas', release: 0 }, 'before')
    const lines = 300_000
    const before = process.memoryUsage().heapUsed
    for (let at = 0; at < lines; at += 1) journal.write('shop', source, `y ${at}`)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(40 * 1024 ** 2)
    await journal.settled('shop')
    journal.write('shop', source, 'after')
    await journal.settled('shop')
    const all = (await tailLogs(paths(config).logs('shop'), { lines })).lines
    const texts = all.map(({ text }) => text)
    expect(texts.slice(0, 3)).toEqual(['before', 'y 0', 'y 1'])
    expect(texts.at(-1)).toBe('after')
    const [, leftOut] = /^… (\d+) lines left out/.exec(texts.at(-2) ?? '') ?? []
    expect(texts.length - 3 + Number(leftOut)).toBe(lines)
  } finally {
    await journal.settled('shop')
    await rm(home, { recursive: true })
  }
})
