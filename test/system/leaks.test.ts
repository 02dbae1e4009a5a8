import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ownLock, withHostLock } from '../../builder/layers/host-lock.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { tailLogs } from '../../runner/logs.ts'
import { isOver, sweepRuns } from '../run-of-tests.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'
import { holdings } from './leaks.ts'

test('an instance that came and went leaves nothing behind', async () => {
  const paas = await startPaas()
  const before = `process.on('SIGTERM', () => console.log('was told to stop'))`
  await paas.push('shop', await paas.tree('shop', nodeApp('one', { before })))
  await paas.ssh(['run', 'shop', 'true'])
  expect(await holdings(paas.config)).toMatchObject({ bridges: 1, tables: 1, ports: 1, conmon: 1 })
  await exec(process.execPath, [join(import.meta.dirname, '../../daemon/down.ts')], {
    env: paas.env,
  })
  const { lines } = await tailLogs(paths(paas.config).logs('shop'), { lines: 100 })
  expect(lines.map(({ text }) => text)).toContain('was told to stop')
  await withHostLock(paas.config, ownLock(paas.config), lockLimits, async () => {})
  await paas[Symbol.asyncDispose]()
  expect(await left(paas)).toEqual([])
})

test('one whose run of tests was killed is taken down by the next', async () => {
  const run = 2 ** 22 + 1 // more than any process id
  using env = new DisposableStack()
  const { PAAS_TEST_RUN } = process.env
  env.defer(() => void (process.env.PAAS_TEST_RUN = PAAS_TEST_RUN))
  process.env.PAAS_TEST_RUN = String(run)
  const paas = await startPaas()
  await paas.push('shop', await paas.tree('shop', nodeApp('one')))
  expect([isOver(run), isOver(process.pid)]).toEqual([true, false])
  expect(await sweepRuns((one) => one === run)).toEqual([paas.base])
  expect([await left(paas), existsSync(paas.base)]).toEqual([[], false])
})

/** What the kernel holds of an instance, and locks of its own. */
async function left({ config }: Paas): Promise<unknown[]> {
  const held = Object.entries(await holdings(config)).filter(([, count]) => count > 0)
  return [...held, ...readdirSync(paths(config).locks).filter((name) => name.includes(config.tag))]
}

const lockLimits = { signal: new AbortController().signal, timeoutMs: 5000 }

test('a dozen changes, failures among them, leave what one deploy leaves', async () => {
  await using paas = await startPaas({ PAAS_DRAIN_TIMEOUT: '1' })
  const dir = await paas.tree('shop', nodeApp('start'))
  await paas.push('shop', dir)
  await paas.ssh(['config:set', 'shop', 'WARM=1'])
  await settled(paas)
  const before = { ...(await holdings(paas.config)), scratch: scratch(paas) }
  const descriptorsBefore = descriptors(paas)
  for (let round = 0; round < 3; round += 1) {
    await paas.push('shop', await paas.tree('shop', nodeApp(`round ${round}`)))
    await paas.ssh(['config:set', 'shop', `ROUND=${round}`])
    const files = nodeApp('no', { before: 'process.exit(1)' })
    await paas.push('shop', await paas.tree('shop', files))
    await paas.ssh(['run', 'shop', 'true'])
  }
  await settled(paas)
  expect({ ...(await holdings(paas.config)), scratch: scratch(paas) }).toEqual(before)
  expect(descriptors(paas)).toBeLessThanOrEqual(descriptorsBefore + 4)
})

async function settled(paas: Paas): Promise<void> {
  await until('the old containers are gone', async () => {
    const { stdout } = await paas.paas(['--json', 'ps', 'shop'])
    return JSON.parse(stdout).length === 1 && (await holdings(paas.config)).conmon === 1
  })
}

function descriptors(paas: Paas): number {
  return readdirSync(`/proc/${paas.daemonPid()}/fd`).length
}

function scratch(paas: Paas): number {
  return readdirSync(join(paas.config.home, 'store', 'scratch')).length
}
