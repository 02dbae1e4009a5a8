import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { limits } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import { type Figure, median } from './stats.ts'
import { slowdowns, throughput } from './throughput.ts'
import { nodeApp, type Paas, startPaas } from '../system/instance.ts'

const pairs = 30
const windowMs = 1500
const settleMs = 300

/** One app prints as fast as it can, or not; another is asked as fast as it answers. */
export async function benchFlood(): Promise<Figure[]> {
  await using paas = await startPaas()
  for (const [app, files] of [['shop', nodeApp('shop')] as const, ['flood', floodApp()] as const]) {
    const { code, out } = await paas.push(app, await paas.tree(app, files))
    if (code !== 0) throw new Error(out)
  }
  const target = { port: paas.config.httpPort, host: `shop.${paas.config.domain}`, ms: windowMs }
  const speed = async (mode: string): Promise<number> => {
    await paas.get('flood', mode)
    await pause(settleMs)
    const answers = await throughput(target)
    await paas.get('flood', '/off')
    return answers
  }
  await speed('/off')
  let most = 0
  const watch = setInterval(() => (most = Math.max(most, logBytes(paas))), 100)
  const samples = await slowdowns(
    pairs,
    () => speed('/off'),
    () => speed('/on'),
  )
  await paas.get('flood', '/on')
  await pause(20_000)
  clearInterval(watch)
  return [
    {
      name: `throughput of an app beside one that floods its log: less by`,
      value: median(samples),
      unit: '%',
      bar: 5,
      samples,
    },
    {
      name: 'log of the flooding app on disk, at most',
      value: most / 1024 ** 2,
      unit: 'MB',
      bar: limits.logBytesPerApp / 1024 ** 2,
    },
  ]
}

/** Blocks on disk, for files are preallocated by nobody and compressed by us. */
function logBytes(paas: Paas): number {
  const dir = paths(paas.config).logs('flood')
  if (!existsSync(dir)) return 0
  const files = new Map<number, number>() // a full file has two names for a while
  for (const name of readdirSync(dir)) {
    const facts = statSync(join(dir, name), { throwIfNoEntry: false })
    if (facts) files.set(facts.ino, facts.blocks * 512)
  }
  return [...files.values()].reduce((sum, bytes) => sum + bytes, 0)
}

function floodApp() {
  const before = `
const { spawn } = require('node:child_process')
let child
setImmediate(() => server.on('request', (req) => {
  if (req.url === '/off') child?.kill('SIGKILL')
  if (req.url === '/on') child = spawn('yes', ['x'.repeat(120)], { stdio: 'inherit' })
}))`
  return nodeApp('flood', { before })
}
