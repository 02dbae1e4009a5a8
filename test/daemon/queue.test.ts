import { setImmediate as tick } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openQueue } from '../../daemon/queue.ts'

const never = new AbortController().signal

function asker() {
  const said: string[] = []
  return { said, ask: { say: (line: string) => void said.push(line), signal: never } }
}

test('a turn lasts until it is disposed of, and the next in line follows', async () => {
  const queue = openQueue()
  const { said, ask } = asker()
  const first = await queue.turn('shop', ask)
  const order: string[] = []
  const second = queue.turn('shop', ask).then((turn) => {
    order.push('second')
    return turn
  })
  await tick()
  expect(order).toEqual([])
  expect(said).toEqual(['-----> Waiting for another change of shop to finish'])
  first[Symbol.dispose]()
  ;(await second)[Symbol.dispose]()
  expect(queue.busy()).toBe(false)
})

test('apps do not wait for each other', async () => {
  const queue = openQueue()
  const { ask } = asker()
  await queue.turn('shop', ask)
  await queue.turn('blog', ask)
  expect(queue.busy()).toBe(true)
})

test('a newer push replaces one that waits, never the one at work nor a command', async () => {
  const queue = openQueue()
  const { ask } = asker()
  const push = { ...ask, kind: 'push' } as const
  const first = await queue.turn('shop', push)
  const command = queue.turn('shop', ask)
  const older = queue.turn('shop', push)
  const newer = queue.turn('shop', push)
  await expect(older).rejects.toThrow("A newer push of shop took this one's place")
  first[Symbol.dispose]()
  ;(await command)[Symbol.dispose]()
  ;(await newer)[Symbol.dispose]()
  expect(queue.busy()).toBe(false)
})

test('one who gives up waiting leaves the line', async () => {
  const queue = openQueue()
  const { ask } = asker()
  const first = await queue.turn('shop', ask)
  const impatient = new AbortController()
  const waiting = queue.turn('shop', { ...ask, signal: impatient.signal })
  impatient.abort()
  await expect(waiting).rejects.toThrow('Cancelled')
  const third = queue.turn('shop', ask)
  first[Symbol.dispose]()
  ;(await third)[Symbol.dispose]()
  expect(queue.busy()).toBe(false)
})

test('one who asks from inside a change of the same app is refused at once', async () => {
  const queue = openQueue()
  const { ask } = asker()
  using turn = await queue.turn('shop', ask)
  void turn
  await expect(queue.turn('shop', { ...ask, inside: 'shop' })).rejects.toThrow(
    'shop is being changed by what this plugin was called for',
  )
  ;(await queue.turn('blog', { ...ask, inside: 'shop' }))[Symbol.dispose]()
})

test('one whose app was renamed or destroyed meanwhile gets no turn, nor a new app of that name', async () => {
  const ids = new Map([['shop', 1]])
  const queue = openQueue((app) => ids.get(app))
  const { ask } = asker()
  for (const now of [undefined, 2]) {
    ids.set('shop', 1)
    const first = await queue.turn('shop', ask)
    const second = queue.turn('shop', ask)
    if (now === undefined) ids.delete('shop')
    else ids.set('shop', now)
    first[Symbol.dispose]()
    await expect(second).rejects.toThrow('shop was renamed or destroyed meanwhile')
    expect(queue.busy()).toBe(false)
  }
})
