import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { kernelNames } from '../../core/names.ts'
import { cgroupRoot, cgroupVersion, childGroups } from '../../runner/cgroup.ts'
import { nodeApp, type Paas, startPaas, until } from '../system/instance.ts'
import { cgroupProcesses } from '../system/leaks.ts'
import { type Figure, median } from './stats.ts'

/**
 * What a build that wants all cores does to the answers of an app beside it. The build is frozen in
 * every other window of time, so that both are seen on the same machine in the same minute.
 */
const pairs = 40
const windowMs = 1500
const settleMs = 150
const perSecond = 200

export async function benchNeighbour(): Promise<Figure[]> {
  await using paas = await startPaas({ PAAS_BUILD_TIMEOUT: '900' })
  await paas.push('shop', await paas.tree('shop', nodeApp('shop')))
  const building = paas.push('busy', await paas.tree('busy', busyTree()))
  await until('the build takes all cores', () => burners(paas).length >= burnersWanted, 60_000)
  const group = buildGroup(paas)
  const quiet: number[] = []
  const loaded: number[] = []
  for (let pair = 0; pair < pairs; pair += 1) {
    // The one that goes first has whatever the change before it left.
    const order = pair % 2 === 0 ? [true, false] : [false, true]
    for (const frozen of order) {
      freeze(group, frozen)
      await pause(settleMs)
      ;(frozen ? quiet : loaded).push(percentile99(await latencies(paas)))
    }
  }
  freeze(group, false)
  await paas.ssh(['builds:cancel', 'busy'])
  await building
  const ratios = loaded.map((value, index) => value / (quiet[index] ?? NaN))
  return [
    { name: 'p99 of an app, no build', value: median(quiet), unit: 'ms', samples: quiet },
    { name: 'p99 under a 100 % CPU build', value: median(loaded), unit: 'ms', samples: loaded },
    {
      name: `p99 under a build ÷ without (median of ${pairs} pairs)`,
      value: median(ratios),
      unit: 'x',
      bar: 1.2,
      samples: ratios,
    },
  ]
}

const burnersWanted = availableParallelism() * 2

/** A build whose every process turns in a loop. */
function busyTree(): Record<string, string> {
  const burn = Array.from({ length: burnersWanted }, () => 'sh burn.sh &').join(' ')
  const scripts = { start: 'node server.js', build: `${burn} wait` }
  return {
    ...nodeApp('busy'),
    'package.json': JSON.stringify({ scripts }),
    'burn.sh': 'while :; do :; done\n',
  }
}

function burners(paas: Paas) {
  return cgroupProcesses(kernelNames(paas.config).cgroupParent).filter(({ name }) => name === 'sh')
}

function buildGroup(paas: Paas): string {
  const { builds, buildCgroup } = kernelNames(paas.config)
  const [id = ''] = childGroups(builds)
  return buildCgroup(id)
}

function freeze(group: string, frozen: boolean): void {
  if (cgroupVersion() === 2) {
    writeFileSync(join(cgroupRoot(''), group, 'cgroup.freeze'), frozen ? '1' : '0')
  } else {
    writeFileSync(join(cgroupRoot('freezer'), group, 'freezer.state'), frozen ? 'FROZEN' : 'THAWED')
  }
}

/** Milliseconds from each request's due time to the end of its answer, over one window. */
async function latencies(paas: Paas): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const seen: number[] = []
  const open: Promise<void>[] = []
  const began = performance.now()
  while (performance.now() - began < windowMs) {
    while (open.length < ((performance.now() - began) / 1000) * perSecond) {
      open.push(one(paas, agent, seen))
    }
    await pause(1)
  }
  await Promise.all(open)
  agent.destroy()
  return seen
}

function one(paas: Paas, agent: Agent, seen: number[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const began = performance.now()
  const headers = { host: `shop.${paas.config.domain}` }
  const port = paas.config.httpPort
  request({ host: '127.0.0.1', port, agent, headers, timeout: 20_000 }, (response) => {
    response.resume()
    response.on('end', () => {
      seen.push(performance.now() - began)
      resolve()
    })
  })
    .on('error', reject)
    .end()
  return promise
}

function percentile99(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.99)] ?? NaN
}
