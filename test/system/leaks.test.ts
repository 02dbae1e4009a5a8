import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { nodeApp, startPaas, until } from './instance.ts'
import { type Holdings, holdings } from './leaks.ts'

test('an instance that came and went leaves nothing behind', async () => {
  const before = await holdings()
  const paas = await startPaas()
  await paas.push('shop', await paas.tree('shop', nodeApp('one')))
  await paas.ssh(['run', 'shop', 'true'])
  await paas[Symbol.asyncDispose]()
  expect(await holdings()).toEqual(before)
})

test('twenty changes, failures among them, leave what one deploy leaves', async () => {
  await using paas = await startPaas({ PAAS_DRAIN_TIMEOUT: '1' })
  const dir = await paas.tree('shop', nodeApp('start'))
  await paas.push('shop', dir)
  await paas.ssh(['config:set', 'shop', 'WARM=1'])
  await settled()
  const before = { held: await holdings(), descriptors: descriptors(), scratch: scratch() }
  for (let round = 0; round < 5; round += 1) {
    await paas.push('shop', await paas.tree('shop', nodeApp(`round ${round}`)))
    await paas.ssh(['config:set', 'shop', `ROUND=${round}`])
    const files = nodeApp('no', { before: 'process.exit(1)' })
    await paas.push('shop', await paas.tree('shop', files))
    await paas.ssh(['run', 'shop', 'true'])
  }
  await settled()
  const after = { held: await holdings(), descriptors: descriptors(), scratch: scratch() }
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 4)
  expect(counts(after)).toEqual(counts(before))

  async function settled(): Promise<void> {
    await until('the old containers are gone', async () => {
      const { stdout } = await paas.paas(['--json', 'ps', 'shop'])
      return JSON.parse(stdout).length === 1
    })
  }
  function descriptors(): number {
    return readdirSync(`/proc/${paas.daemonPid()}/fd`).length
  }
  function scratch(): number {
    return readdirSync(join(paas.config.home, 'store', 'scratch')).length
  }
})

/** Names differ from deploy to deploy; how many there are must not. */
function counts({ held, scratch }: { held: Holdings; scratch: number }) {
  const sizes = Object.entries(held).map(([kind, list]) => [kind, list.length])
  return { ...Object.fromEntries(sizes), processes: held.processes, scratch }
}
