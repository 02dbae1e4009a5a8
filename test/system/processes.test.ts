import { errno } from '../../core/errors.ts'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kernelNames } from '../../core/names.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

type Process = { process: string; state: string; release: string; seconds: number }

const files = {
  ...nodeApp('shop'),
  'worker.js': 'setInterval(() => console.log("tick", process.pid), 50)',
  Procfile: 'web: node server.js\nworker: node worker.js\n',
}

describe('process types', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', files))
    await paas.ssh(['ps:scale', 'shop', 'web=2', 'worker=2'])
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const ps = async (): Promise<string[]> => {
    const all: Process[] = JSON.parse((await paas.paas(['ps', 'shop', '--json'])).stdout)
    return all
      .filter(({ state }) => state !== 'retiring')
      .map(({ process, state }) => `${process} ${state}`)
  }
  const ids = async (): Promise<Record<string, string>> => {
    const { stdout } = await paas.paas(['ps', 'shop', '--json'])
    const all: (Process & { address: string })[] = JSON.parse(stdout)
    const live = all.filter(({ state }) => state === 'running')
    return Object.fromEntries(live.map(({ process, address }) => [process, address]))
  }
  const all = ['web.1 running', 'web.2 running', 'worker.1 running', 'worker.2 running']

  test('are stopped and started one by one, and what was stopped stays so', async () => {
    const before = await ids()
    const stop = await paas.ssh(['ps:stop', 'shop', 'worker'])
    expect([stop.code, stop.stdout]).toEqual([
      0,
      expect.stringContaining('worker=0 (stopped, was 2)'),
    ])
    const stopped = [...all.slice(0, 2), 'worker.1 stopped', 'worker.2 stopped']
    await until('the workers are gone', async () => (await ps()).join() === stopped.join())
    await paas.killDaemon()
    await paas.startDaemon()
    await paas.ssh(['config:set', 'shop', 'A=1'])
    await until('they stay stopped', async () => (await ps()).join() === stopped.join())
    await paas.push('shop', await paas.tree('shop', { ...files, 'new.txt': 'x' }))
    expect(await ps()).toEqual(stopped)
    const report = JSON.parse((await paas.ssh(['ps:report', 'shop', '--json'])).stdout)
    expect(report).toContainEqual(
      expect.objectContaining({ type: 'worker', wanted: 0, running: 0, stopped: 2 }),
    )
    const none = await paas.ssh(['enter', 'shop', 'worker', 'true'])
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('process "worker"')])
    const start = await paas.ssh(['ps:start', 'shop'])
    expect([start.code, start.stdout]).toEqual([0, expect.stringContaining('worker=2\n')])
    expect(await ps()).toEqual(all)
    const entered = await paas.ssh(['enter', 'shop', 'worker', 'printenv', 'DYNO'])
    expect([entered.stdout, entered.stderr]).toEqual(['worker.1\n', ''])
    expect(Object.keys(await ids())).toEqual(Object.keys(before))
    expect((await paas.ssh(['ps:stop', 'shop', 'nothing'])).code).toBe(1)
  })

  test('stopped altogether answer 503 and come back', async () => {
    expect((await paas.ssh(['ps:stop', 'shop'])).code).toBe(0)
    expect((await paas.get('shop')).status).toBe(503)
    expect((await paas.ssh(['ps:start', 'shop', 'web'])).code).toBe(0)
    expect((await paas.get('shop')).body).toBe('shop')
    expect(await ps()).toEqual([...all.slice(0, 2), 'worker.1 stopped', 'worker.2 stopped'])
    await paas.ssh(['ps:scale', 'shop', 'worker=1'])
    expect(await ps()).toEqual(all.slice(0, 3))
    await paas.ssh(['ps:scale', 'shop', 'worker+1'])
    expect(await ps()).toEqual(all)
  })

  test('are scaled by more and fewer', async () => {
    expect((await paas.ssh(['ps:scale', 'shop', 'web+1', 'worker-1'])).stdout).toMatch(
      /web=3\n +worker=1\n/,
    )
    const tooMany = await paas.ssh(['ps:scale', 'shop', 'web=9999999'])
    expect([tooMany.code, tooMany.stderr]).toEqual([2, ' !     web can have at most 12\n'])
    expect((await paas.ssh(['ps:scale', 'shop', 'web+99'])).code).toBe(2)
    const unknown = await paas.ssh(['ps:scale', 'shop', 'wbe=1'])
    expect([unknown.code, unknown.stderr]).toEqual([
      1,
      expect.stringContaining('shop has no process type "wbe"'),
    ])
    expect((await paas.ssh(['events', 'shop'])).stdout).not.toContain('wbe') // none was made
    expect((await paas.ssh(['ps:scale', 'shop', 'web=2', 'worker=2'])).code).toBe(0)
  })

  test('are restarted one by one: the others keep running', async () => {
    const before = await ids()
    const versions = (await paas.ssh(['releases', 'shop'])).stdout
    expect((await paas.ssh(['ps:restart', 'shop', 'worker'])).code).toBe(0)
    const after = await ids()
    expect([after['web.1'], after['web.2']]).toEqual([before['web.1'], before['web.2']])
    expect(after['worker.1']).not.toBe(before['worker.1'])
    expect(after['worker.2']).not.toBe(before['worker.2'])
    expect((await paas.ssh(['releases', 'shop'])).stdout).toBe(versions)
  })

  test('have limits of their own, changed as they run and kept for the next', async () => {
    const before = await ids()
    const versions = (await paas.ssh(['releases', 'shop'])).stdout
    const words = ['--memory', '200m', '--cpu', '0.5', '--pids', '100', '--disk', '1g']
    const set = await paas.ssh(['resource:limit', 'shop', ...words, '--process-type', 'worker'])
    expect([set.code, set.stdout]).toEqual([
      0,
      expect.stringContaining('Changed as they run; nothing was restarted'),
    ])
    expect(await ids()).toEqual(before)
    expect((await paas.ssh(['releases', 'shop'])).stdout).toBe(versions)
    expect(memoryLimits()).toEqual([200, 200, 512, 512])
    const report = await paas.ssh(['resource:report', 'shop'])
    expect(report.stdout).toMatch(
      /512 MiB[^]*-----> worker\n +memory: 200 MiB\n +cpu: +0.5\n.*\n +disk: +1 GiB/,
    )
    expect((await paas.ssh(['ps:restart', 'shop', 'worker'])).code).toBe(0)
    await until('the old are gone', () => memoryLimits().length === 4)
    expect(memoryLimits()).toEqual([200, 200, 512, 512])
    await paas.ssh(['config:set', 'shop', 'B=1'])
    await until('the old are gone', () => memoryLimits().length === 4)
    expect(memoryLimits()).toEqual([200, 200, 512, 512])
    expect(
      (await paas.ssh(['resource:limit', 'shop', '--process-type', 'x', '--cpu', '1'])).code,
    ).toBe(1)
  })

  test('that are given limits by several at once have them all', async () => {
    const given = [
      ['--cpu', '0.6'],
      ['--pids', '90'],
      ['--pids', '80', '--process-type', 'web'],
    ]
    const done = given.map((words) => paas.paas(['resource:limit', 'shop', ...words]))
    expect((await Promise.all(done)).map(({ code }) => code)).toEqual([0, 0, 0])
    const report = await paas.paas(['resource:report', 'shop', '--json'])
    const types = { web: { pids: 80 } }
    expect(JSON.parse(report.stdout)).toMatchObject({ cpus: 0.6, pids: 90, types })
  })

  test('that use more than a new limit are started afresh with it', async () => {
    const hungry = {
      ...files,
      'worker.js': `if (process.env.EAT) global.eaten = Buffer.alloc(120 * 1024 ** 2, 1)
        require('node:fs').writeFileSync('/tmp/eaten', '')
        setInterval(() => {}, 1000)`,
      // However long a busy machine takes: it is ready when it has eaten, and not before.
      'app.json': JSON.stringify({
        healthchecks: { worker: [{ type: 'startup', command: 'test -e /tmp/eaten' }] },
      }),
    }
    await paas.ssh(['checks:set', 'shop', 'timeout=60'])
    await paas.push('shop', await paas.tree('shop', hungry))
    await paas.ssh(['config:set', 'shop', 'EAT=1'])
    const words = ['--memory', '60m', '--process-type', 'worker']
    const refused = await paas.ssh(['resource:limit', 'shop', ...words])
    expect(refused.out).toContain('cannot take these limits; starting them afresh')
    expect(refused.code).toBe(1) // they do not start with so little either: nothing has changed
    await until('all is as it was', () => memoryLimits().length === 4)
    expect(memoryLimits()).toEqual([200, 200, 512, 512])
    expect((await paas.ssh(['resource:report', 'shop'])).stdout).toContain('200 MiB')
    expect((await paas.get('shop')).body).toBe('shop')
    await paas.ssh(['config:unset', 'shop', 'EAT'])
  })

  test('are paused and resumed: a request waits and is answered', async () => {
    const paused = await paas.ssh(['ps:pause', 'shop', 'web'])
    expect([paused.code, paused.stdout]).toEqual([0, '-----> Paused web.1, web.2\n'])
    expect((await ps()).slice(0, 2)).toEqual(['web.1 paused', 'web.2 paused'])
    const entered = await paas.ssh(['enter', 'shop', 'web.1', 'true'])
    expect([entered.code, entered.stderr]).toEqual([
      1,
      ' !     web.1 of shop is paused: nothing can start in it\n' +
        ' !     Let it go on: ps:resume shop\n',
    ])
    const answer = paas.get('shop')
    await paas.killDaemon()
    await paas.startDaemon()
    expect((await ps()).slice(0, 2)).toEqual(['web.1 paused', 'web.2 paused'])
    const resumed = await paas.ssh(['ps:resume', 'shop'])
    expect([resumed.code, resumed.stdout]).toEqual([0, '-----> Resumed web.1, web.2\n'])
    const none = await paas.ssh(['ps:resume', 'shop'])
    expect([none.code, none.stdout]).toEqual([0, '       There is nothing to be resumed\n'])
    expect((await answer).body).toBe('shop')
    expect(await ps()).toEqual(all)
  })

  test('that are stopped are not said to start, by a push either, until they do', async () => {
    const stopped = await paas.ssh(['ps:stop', 'shop'])
    expect(stopped.stdout).toContain('-----> Stopping web.1, web.2, worker.1, worker.2 of shop\n')
    const push = await paas.push('shop', await paas.tree('shop', {}))
    expect([push.code, push.out]).toEqual([
      0,
      expect.stringContaining('for all is stopped or scaled to 0: ps:start shop'),
    ])
    expect(push.out).not.toContain('Starting shop')
    const lone = { ...files, Procfile: 'worker: node worker.js\n' }
    const first = await paas.push('lone', await paas.tree('lone', lone))
    expect(first.out).toContain('for all is stopped or scaled to 0: ps:scale lone worker=1')
    expect((await paas.ssh(['ps:start', 'shop'])).stdout).toContain('-----> Starting shop v')
    expect((await paas.ssh(['ps:start', 'shop'])).stdout).toContain('Nothing of shop has to start')
    expect(await ps()).toEqual(all)
  })

  test('that were stopped run again after a rollback, unless they are stopped still', async () => {
    await paas.ssh(['ps:stop', 'shop'])
    await paas.ssh(['config:set', 'shop', 'C=1'])
    await paas.ssh(['ps:start', 'shop'])
    expect((await paas.ssh(['releases:rollback', 'shop'])).code).toBe(0)
    expect(await ps()).toEqual(all)
    await paas.ssh(['ps:stop', 'shop', 'worker'])
    expect((await paas.ssh(['releases:rollback', 'shop'])).code).toBe(0)
    const stopped = [...all.slice(0, 2), 'worker.1 stopped', 'worker.2 stopped']
    expect(await ps()).toEqual(stopped)
    await paas.ssh(['ps:start', 'shop'])
    expect(await ps()).toEqual(all)
  })

  test('that the code has lost since they were stopped do not keep others from starting', async () => {
    await paas.ssh(['ps:stop', 'lone'])
    await paas.ssh(['ps:scale', 'lone', 'worker=1'])
    await paas.ssh(['ps:stop', 'lone'])
    const web = { Procfile: 'web: node server.js\nother: node worker.js\n' }
    await paas.push('lone', await paas.tree('lone', web))
    const start = await paas.ssh(['ps:start', 'lone'])
    expect([start.code, (await paas.get('lone')).body]).toEqual([0, 'shop'])
    await paas.ssh(['ps:stop', 'lone'])
    await paas.ssh(['ps:scale', 'lone', 'web=0'])
    expect((await paas.ssh(['ps', 'lone', '--json'])).stdout).not.toContain('"stopped"')
  })

  test('that are paused are replaced and stopped like any other', async () => {
    await paas.ssh(['ps:pause', 'shop'])
    const before = await ids()
    expect((await paas.ssh(['ps:restart', 'shop'])).code).toBe(0)
    expect((await paas.get('shop')).body).toBe('shop')
    await until('the paused ones are gone', () => memoryLimits().length === 4)
    expect(await ids()).not.toEqual(before)
    await paas.ssh(['ps:pause', 'shop'])
    expect((await paas.ssh(['apps:destroy', 'shop', '--force'])).code).toBe(0)
    expect(memoryLimits()).toEqual([])
  })

  /** MiB of every container there is, sorted. */
  function memoryLimits(): number[] {
    const parent = kernelNames(paas.config).cgroupParent
    const [root, file] = existsSync('/sys/fs/cgroup/memory')
      ? ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes']
      : ['/sys/fs/cgroup', 'memory.max']
    return groups(`${root}${parent}`)
      .flatMap((group) => numberIn(`${root}${parent}/${group}/${file}`))
      .map((bytes) => bytes / 1024 ** 2)
      .sort((a, b) => a - b)
  }
})

function groups(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
}

/** None where the container went away between being listed and being read. */
function numberIn(file: string): number[] {
  try {
    return [Number(readFileSync(file, 'utf8'))]
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENODEV') return []
    throw error
  }
}
