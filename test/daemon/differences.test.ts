import { expect, test } from 'vitest'
import type { Release } from '../../core/types.ts'
import { differences } from '../../daemon/fleet/differences.ts'
import type { Member } from '../../daemon/fleet/fleet.ts'

const release: Release = {
  id: 1,
  app: 'shop',
  version: 7,
  commit: 'abc',
  image: { layers: [], processes: { web: 'node s', worker: 'node w' }, env: {}, language: 'Node' },
  config: {},
  formation: { web: 1, worker: 1 },
  limits: { memoryBytes: 1, cpus: 1, pids: 1 },
  mounts: [],
  cause: '',
  by: '',
  createdAt: '',
}

/** `v7 web.1 live`, started in the order of the list. */
function look(...texts: string[]) {
  const members = texts.map((text, index): Member => {
    const [, version, process = '', state = ''] = /^v(\d+) (\S+) (\w+)$/.exec(text) ?? []
    if (!isState(state)) throw new Error(`no state: ${text}`)
    const at = { id: String(index), app: 'shop', address: '', pid: 0, startedAt: index }
    return { ...at, process, release: Number(version), state }
  })
  const { kept, missing, surplus } = differences(members, release)
  const told = (some: Member[]) => some.map(({ id }) => `${id}: ${texts[Number(id)]}`)
  return { kept: told(kept), missing, surplus: told(surplus) }
}

function isState(text: string): text is Member['state'] {
  return ['starting', 'live', 'unwatched', 'retiring'].includes(text)
}

test('what is as it should be stays, and what starts or leaves is judged by nobody', () => {
  const all = look('v7 web.1 live', 'v7 worker.1 starting', 'v6 worker.1 retiring')
  expect(all).toEqual({ kept: ['0: v7 web.1 live'], missing: ['worker.1'], surplus: [] })
})

test('of two the younger stays', () => {
  const all = look('v7 worker.1 live', 'v7 web.1 live', 'v7 web.1 live')
  expect(all).toEqual({
    kept: ['0: v7 worker.1 live', '2: v7 web.1 live'],
    missing: [],
    surplus: ['1: v7 web.1 live'],
  })
})

test('what nobody wants goes', () => {
  const all = look('v7 web.1 live', 'v7 worker.1 live', 'v7 web.2 live', 'v7 worker.2 unwatched')
  expect(all.surplus).toEqual(['2: v7 web.2 live', '3: v7 worker.2 unwatched'])
})

test('what is of another release, or unwatched, goes when another is in its place', () => {
  const before = look('v6 worker.1 live', 'v7 web.1 unwatched')
  expect(before).toEqual({ kept: [], missing: ['web.1', 'worker.1'], surplus: [] })
  const after = look('v6 worker.1 live', 'v7 web.1 unwatched', 'v7 worker.1 live', 'v7 web.1 live')
  expect(after.surplus).toEqual(['0: v6 worker.1 live', '1: v7 web.1 unwatched'])
})

test('nothing of an app without a release stays', () => {
  const member: Member = {
    ...{ id: '0', app: 'shop', process: 'web.1', release: 7, address: '', pid: 0, startedAt: 0 },
    state: 'live',
  }
  expect(differences([member], undefined)).toEqual({ kept: [], missing: [], surplus: [member] })
})
