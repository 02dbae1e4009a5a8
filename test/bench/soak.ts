import { randomInt } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { killGroup, spawnGroup, waitForEnd } from '../../core/exec.ts'
import type { Figure } from './stats.ts'
import { nodeApp, type Paas, startPaas } from '../system/instance.ts'
import { holdings } from '../system/leaks.ts'
import { startLoad } from '../system/load.ts'

const runs = 1000
const runsAtOnce = 8
const runLifeMs = 600
const kills = 100
const deployMs = 500
const settleTimeoutMs = 60_000

/** What is left, and what is lost, when clients and the daemon are killed at random moments. */
export async function benchSoak(): Promise<Figure[]> {
  await using paas = await startPaas({ PAAS_DRAIN_TIMEOUT: '1' })
  await must(push(paas, 'first'))
  await must(paas.ssh(['run', 'shop', 'true']))
  const before = await settled(paas, {})
  return [...(await killedRuns(paas, before)), ...(await killedDeploys(paas, before))]
}

type Counts = Record<string, number>

async function killedRuns(paas: Paas, before: Counts): Promise<Figure[]> {
  let left = runs
  const worker = async (): Promise<void> => {
    while (left-- > 0) await killedRun(paas)
  }
  await Promise.all(Array.from({ length: runsAtOnce }, worker))
  const after = await settled(paas, before)
  return [leftFigure(`left of ${runs} runs whose clients were killed at random`, before, after)]
}

async function killedRun(paas: Paas): Promise<void> {
  const [file = 'ssh', ...args] = paas.sshCommand
  const words = ['run', 'shop', 'sh', '-c', `'echo begun; sleep ${runLifeMs / 2000}; echo done'`]
  const client = spawnGroup(file, [...args, 'paas@127.0.0.1', ...words], { stdio: 'ignore' })
  const ended = waitForEnd(client, { timeoutMs: 60_000 })
  await Promise.race([ended, pause(randomInt(runLifeMs))])
  await killGroup(client, 0)
  await ended
}

/** The client and the daemon take turns in dying. */
async function killedDeploys(paas: Paas, before: Counts): Promise<Figure[]> {
  const target = { port: paas.config.httpPort, host: `shop.${paas.config.domain}` }
  const load = startLoad({ ...target, perSecond: 100, keepAlive: false })
  let refused = 0
  for (let round = 0; round < kills; round += 1) {
    await killedDeploy(paas, round)
    const { code, out } = await push(paas, `after ${round}`)
    const { body } = await paas.get('shop')
    if (code === 0 && body === `after ${round}`) continue
    refused += 1
    process.stderr.write(`after kill ${round}: ${body}: ${out}\n`)
  }
  const { sent, lost } = await load.stop()
  for (const line of new Set(lost)) process.stderr.write(`lost: ${line}\n`)
  const after = await settled(paas, before)
  const when = `${kills} random kills of client or daemon in a deploy`
  return [
    { name: `next pushes that failed after ${when}`, value: refused, unit: 'times', bar: 0 },
    {
      name: `requests lost through ${when} (of ${sent})`,
      value: lost.length,
      unit: 'requests',
      bar: 0,
    },
    leftFigure(`left after ${when}`, before, after),
  ]
}

async function killedDeploy(paas: Paas, round: number): Promise<void> {
  const dir = await paas.tree('shop', nodeApp(`killed ${round}`))
  const refs = ['push', '-q', '--force', 'paas@127.0.0.1:shop', 'HEAD:refs/heads/main']
  const options = { cwd: dir, env: { ...paas.env, GIT_SSH_COMMAND: paas.sshCommand.join(' ') } }
  const client = spawnGroup('git', refs, { ...options, stdio: 'ignore' })
  const ended = waitForEnd(client, { timeoutMs: 60_000 })
  await pause(randomInt(deployMs))
  if (round % 2 === 0) {
    await killGroup(client, 0)
    await ended
  } else {
    await paas.killDaemon()
    await ended
    await paas.startDaemon()
  }
}

async function push(paas: Paas, body: string) {
  return paas.push('shop', await paas.tree('shop', nodeApp(body)))
}

async function must(command: Promise<{ code: number; out: string }>): Promise<void> {
  const { code, out } = await command
  if (code !== 0) throw new Error(out)
}

/** What the kernel and the disk hold as soon as that is `wanted`, or in the end. */
async function settled(paas: Paas, wanted: Counts): Promise<Counts> {
  const deadline = Date.now() + settleTimeoutMs
  for (;;) {
    const scratch = readdirSync(join(paas.config.home, 'store', 'scratch')).length
    const bundles = readdirSync(join(paas.config.run, 'bundles')).length
    const seen = { ...(await holdings(paas.config)), scratch, bundles }
    const calm = Object.keys(wanted).length > 0 ? difference(wanted, seen) === 0 : bundles === 1
    if (calm || Date.now() > deadline) return seen
    await pause(250)
  }
}

function difference(before: Counts, after: Counts): number {
  return changes(before, after).reduce((sum, { less, more }) => sum + Math.abs(more - less), 0)
}

function changes(before: Counts, after: Counts) {
  const kinds = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return kinds
    .map((kind) => ({ kind, less: before[kind] ?? 0, more: after[kind] ?? 0 }))
    .filter(({ less, more }) => less !== more)
}

function leftFigure(name: string, before: Counts, after: Counts): Figure {
  for (const { kind, less, more } of changes(before, after)) {
    process.stderr.write(`${name}: ${kind} were ${less}, are ${more}\n`)
  }
  return { name, value: difference(before, after), unit: 'things', bar: 0 }
}
