import { describe, expect, test } from 'vitest'
import type { Release } from '../../core/types.ts'
import {
  formationFor,
  processEnv,
  processType,
  shellArgv,
  wantedProcesses,
} from '../../daemon/fleet/processes.ts'

const release: Release = {
  id: 1,
  app: 'shop',
  version: 7,
  commit: 'abc',
  image: {
    layers: [],
    processes: { worker: 'node w', web: 'node s', release: 'node m' },
    env: { NODE_ENV: 'production', COLOR: 'image' },
    language: 'Node',
  },
  config: { COLOR: 'config' },
  formation: { web: 2, worker: 1 },
  limits: { memoryBytes: 1, cpus: 1, pids: 1 },
  mounts: [],
  cause: '',
  by: '',
  createdAt: '',
}

test('wantedProcesses puts web first and never runs the release command as a process', () => {
  expect(wantedProcesses(release)).toEqual(['web.1', 'web.2', 'worker.1'])
  expect(wantedProcesses({ ...release, formation: { release: 3 } })).toEqual([])
})

test('formationFor starts one web at first, keeps what was set, and drops types that are gone', () => {
  expect(formationFor(release.image.processes, {})).toEqual({ web: 1, worker: 0 })
  expect(formationFor({ web: 'x', worker: 'y' }, { web: 3, gone: 2 })).toEqual({
    web: 3,
    worker: 0,
  })
})

test('processEnv: config beats the image, and the platform beats both', () => {
  const config = { COLOR: 'config', PORT: '1', PAAS_APP: 'no' }
  expect(processEnv({ ...release, config }, 'web.1')).toEqual({
    NODE_ENV: 'production',
    COLOR: 'config',
    PORT: '5000',
    DYNO: 'web.1',
    PAAS_APP: 'shop',
    PAAS_RELEASE: 'v7',
    PAAS_PROCESS: 'web.1',
    GIT_REV: 'abc',
  })
})

test('processType is what stands before the last dot', () => {
  expect(processType('web.12')).toBe('web')
})

describe('shellArgv', () => {
  test.each(['node server.js', 'npm start', 'bin/rails server -p $PORT', './run "a b"'])(
    'replaces the shell by a plain command: %s',
    (command) => {
      expect(shellArgv(command)).toEqual(['sh', '-c', `exec ${command}`])
    },
  )
  test.each(['A=1 node x', 'cd web && node x', 'a; b', 'a | b', '(a)', 'cd x', 'exec node x'])(
    'leaves a command alone that exec would break: %s',
    (command) => {
      expect(shellArgv(command)).toEqual(['sh', '-c', command])
    },
  )
})
