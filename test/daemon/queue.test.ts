import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as tick } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { defaultLimits } from '../../core/config.ts'
import { applySetting } from '../../daemon/changes.ts'
import { openQueue } from '../../daemon/queue.ts'
import { openStore } from '../../daemon/store/store.ts'

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

test('what waited for the turn of an app that has gone changes nothing, nor the next of its name', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paas-queue-'))
  const [store, queue] = [openStore(join(dir, 'paas.db')), openQueue()]
  try {
    const { ask } = asker()
    const app = store.createApp('shop', defaultLimits)
    const changed: string[] = []
    const change = (name: string) => {
      return applySetting({ store, queue }, app, ask, () => void changed.push(name))
    }
    await change('here')
    const turn = await queue.turn('shop', ask)
    const waiting = change('destroyed')
    store.destroyApp(app)
    while (Date.now() <= Date.parse(app.createdAt)) await tick()
    const anew = store.createApp('shop', defaultLimits)
    turn[Symbol.dispose]()
    await expect(waiting).rejects.toThrow('shop was renamed or destroyed meanwhile')
    store.destroyApp(anew)
    await expect(change('gone')).rejects.toThrow('shop was renamed or destroyed meanwhile')
    expect([changed, queue.busy()]).toEqual([['here'], false])
  } finally {
    store.close()
    rmSync(dir, { recursive: true })
  }
})
