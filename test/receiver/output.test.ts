import { once } from 'node:events'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { sayTo } from '../../receiver/output.ts'

test('short lines that nobody reads are counted by what they take of memory', () => {
  const client = new Writable({ write: () => {} })
  const say = sayTo(client)
  for (let count = 0; count < 1_000_000; count += 1) say('y')
  expect(client.writableLength / 'y\n'.length).toBeLessThan(40_000)
})

test('a client that does not read leaves lines out and is told how many', async () => {
  let text = ''
  let read: (() => void) | undefined
  const client = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString('utf8')
      if (read) done()
      else read = done
    },
  })
  const say = sayTo(client)
  const line = 'y'.repeat(1023)
  for (let count = 0; count < 10_000; count += 1) say(line)
  expect(client.writableLength).toBeLessThan(9 * 1024 ** 2)
  const drained = once(client, 'drain')
  read?.()
  await drained
  const taken = text.length / 1024
  say('last')
  expect(text.slice(taken * 1024)).toBe(
    `       … ${10_000 - taken} lines left out, the client was too slow\nlast\n`,
  )
})
