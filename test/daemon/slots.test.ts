import { setImmediate as tick } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import { openRunningBuilds } from '../../daemon/code/running-builds.ts'
import { openSlots } from '../../daemon/code/slots.ts'

const never = new AbortController().signal
const quiet = () => {}

test('as many as there are slots go on at once, the others in the order of asking', async () => {
  const slots = openSlots(2)
  const [one, two] = [await slots.take(quiet, never), await slots.take(quiet, never)]
  const order: string[] = []
  const [saidThird, saidFourth]: [string[], string[]] = [[], []]
  const third = slots.take((line) => void saidThird.push(line), never)
  const fourth = slots.take((line) => void saidFourth.push(line), never)
  void third.then(() => order.push('third'))
  void fourth.then(() => order.push('fourth'))
  expect(saidThird).toEqual(['-----> Waiting to build: number 1 in line, 2 at a time'])
  expect(saidFourth).toEqual(['-----> Waiting to build: number 2 in line, 2 at a time'])
  two[Symbol.dispose]()
  two[Symbol.dispose]() // twice gives no second slot away
  await tick()
  expect(order).toEqual(['third'])
  expect(saidFourth.at(-1)).toBe('-----> Waiting to build: number 1 in line, 2 at a time')
  one[Symbol.dispose]()
  await tick()
  expect(order).toEqual(['third', 'fourth'])
})

test('whoever gives up leaves the line, and its place to the next', async () => {
  const slots = openSlots(1)
  const held = await slots.take(quiet, never)
  const gone = new AbortController()
  const waiting = slots.take(quiet, gone.signal)
  const next = slots.take(quiet, never)
  gone.abort(new Failure('failed', 'The client went away'))
  await expect(waiting).rejects.toThrow('The client went away')
  held[Symbol.dispose]()
  ;(await next)[Symbol.dispose]()
  ;(await slots.take(quiet, never))[Symbol.dispose]()
})

test('a build can be ended by another session while it runs, and only then', async () => {
  const builds = openRunningBuilds()
  const running = builds.enter(7, never)
  let ended = false
  const cancel = builds.cancel(7, 'ann').then((ran) => {
    ended = true
    return ran
  })
  expect(running.signal.reason).toMatchObject({ message: 'Cancelled by ann' })
  await tick()
  expect(ended).toBe(false)
  running[Symbol.dispose]()
  expect(await cancel).toBe(true)
  expect(await builds.cancel(7, 'ann')).toBe(false)
})
