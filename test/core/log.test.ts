import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { spawnGroup, waitForEnd } from '../../core/exec.ts'

test('a log whose disk is full does not end who writes it', async () => {
  const file = JSON.stringify(join(import.meta.dirname, '../../core/log.ts'))
  const program = `
    const { log } = await import(${file})
    log('one')
    await new Promise((done) => setImmediate(done))
    log('two')
    process.exitCode = 7`
  const full = openSync('/dev/full', 'w')
  const writer = spawnGroup(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'ignore', full],
  })
  closeSync(full)
  const limits = { signal: new AbortController().signal, timeoutMs: 30_000 }
  expect(await waitForEnd(writer, limits)).toBe(7)
})
