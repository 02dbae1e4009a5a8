import { expect, test } from 'vitest'
import { openGrep } from '../../daemon/logs/grep.ts'

const line = (text: string) => ({
  ...{ at: '2026-11-21T06:00:00.123456789Z', process: 'web.1', release: 1, text },
  stream: 'stdout' as const,
})
const { signal } = new AbortController()

test('The lines that match are found, batch by batch', async () => {
  await using grep = openGrep('on[ae]', signal)
  expect(await grep.match([line('one'), line('two')])).toEqual([line('one')])
  expect(await grep.match([line('three'), line('ona')])).toEqual([line('ona')])
})

test('An expression that would take for ever is ended, and everything else goes on', async () => {
  await using grep = openGrep('^(a+)+$', signal, 300)
  let ticks = 0
  const ticking = setInterval(() => (ticks += 1), 10)
  await expect(grep.match([line(`${'a'.repeat(60)}!`)])).rejects.toThrow(
    '--grep "^(a+)+$" took longer than 0.3 s',
  )
  clearInterval(ticking)
  expect(ticks).toBeGreaterThan(5)
})

test('So many searches run at once and no more; what is no expression is said so', async () => {
  await using open = new AsyncDisposableStack()
  for (let count = 0; count < 8; count++) open.use(openGrep('x', signal))
  expect(() => openGrep('x', signal)).toThrow('8 searches run already')
  expect(() => openGrep('(', signal)).toThrow('--grep "(" is no regular expression')
})
