import { randomBytes } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { commitTree, nodeApp, type Paas, startPaas } from '../system/instance.ts'
import type { Figure } from './stats.ts'

/**
 * What 200 deploys of a 100 MB app cost on the disk when each changes
 * one file. Nothing here depends on how fast the machine is.
 */
const deploys = 200
const early = 10
const fileBytes = 1024 * 1024
const files = 100

export async function benchDisk(): Promise<Figure[]> {
  await using paas = await startPaas({ PAAS_DRAIN_TIMEOUT: '1' })
  const dir = await paas.tree('shop', nodeApp('v0'))
  for (let file = 0; file < files; file += 1) {
    await writeFile(join(dir, `data-${file}`), randomBytes(fileBytes))
  }
  const image = files * fileBytes
  const seen: number[] = []
  for (let round = 1; round <= deploys; round += 1) {
    await commitTree(dir, nodeApp(`v${round}`))
    const { code, out } = await paas.push('shop', dir)
    if (code !== 0) throw new Error(out)
    if (round === 1 || round === early || round === deploys) seen.push(await storeBytes(paas))
  }
  const [first = 0, tenth = 0, last = 0] = seen
  const repository = await diskBytes(paths(paas.config).repo('shop'))
  const mega = 1_000_000
  return [
    { name: 'store after 1 deploy of a 100 MB app', value: first / mega, unit: 'MB' },
    { name: `store after ${early} deploys`, value: tenth / mega, unit: 'MB' },
    { name: `store after ${deploys} deploys`, value: last / mega, unit: 'MB' },
    {
      name: `growth over ${deploys} deploys ÷ ${deploys} images`,
      value: (100 * (last - first)) / (deploys * image),
      unit: '%',
      bar: 1,
    },
    {
      name: `growth from deploy ${early} to ${deploys} ÷ image`,
      value: (100 * (last - tenth)) / image,
      unit: '%',
      bar: 1,
    },
    { name: 'git repository at the end', value: repository / mega, unit: 'MB' },
  ]
}

/** The store when the old containers have gone and garbage is collected. */
async function storeBytes(paas: Paas): Promise<number> {
  const { store } = paths(paas.config)
  const deadline = Date.now() + 60_000
  while ((await readdir(join(store, 'scratch'))).length > 1 && Date.now() < deadline) {
    await pause(100)
  }
  await paas.paas(['images:gc'])
  return diskBytes(store)
}

async function diskBytes(dir: string): Promise<number> {
  const { stdout } = await exec('du', ['--summarize', '--block-size=1', '--', dir])
  return Number.parseInt(stdout, 10)
}
