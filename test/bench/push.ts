import { setTimeout as pause } from 'node:timers/promises'
import { openHost } from '../../runner/host.ts'
import { exec } from '../../core/exec.ts'
import { bareStarts } from './bare.ts'
import { containerStart } from './container.ts'
import { idleDaemon } from './idle.ts'
import { layersOf } from './layers.ts'
import { type OpenSsh, startOpenSsh } from './raw.ts'
import { type Figure, median, sample, timed } from './stats.ts'
import { startLoad } from '../system/load.ts'
import { nodeApp, type Paas, startPaas } from '../system/instance.ts'

const rounds = 10

/** A push and what is felt of it, beside the raw parts that it is made of. */
export async function benchPush(): Promise<Figure[]> {
  await using paas = await startPaas({ PAAS_DRAIN_TIMEOUT: '10' })
  await using openssh = await startOpenSsh()
  await paas.push('shop', await paas.tree('shop', nodeApp('first')))
  return [
    ...(await redeploys(paas, openssh)),
    ...(await shortCommands(paas, openssh)),
    ...(await lostRequests(paas, true)),
    ...(await lostRequests(paas, false)),
    ...(await idleDaemon(paas)),
  ]
}

/** One changed line, from the start of the push to the first answer of the new version. */
async function redeploys(instance: Paas, openssh: OpenSsh): Promise<Figure[]> {
  const host = await openHost(instance.config)
  const raw: number[] = []
  const bare: number[] = []
  const pushes: number[] = []
  const starts: number[] = []
  const ours = await sample(rounds, async (round) => {
    pushes.push(await barePush(instance, openssh, round))
    bare.push(await bareStarts(instance))
    starts.push(await containerStart(host, layersOf(instance)))
    raw.push((pushes.at(-1) ?? 0) + (bare.at(-1) ?? 0))
    const dir = await instance.tree('shop', nodeApp(`round ${round}`))
    return timed(async () => {
      const pushed = instance.push('shop', dir)
      while ((await instance.get('shop')).body !== `round ${round}`) await pause(5)
      await pushed
    })
  })
  const restarts = await sample(rounds, () => timed(() => instance.paas(['ps:restart', 'shop'])))
  const help = await sample(rounds, () => timed(() => instance.paas(['version'])))
  const start = median(restarts) - median(help)
  return [
    {
      name: 'redeploy of one line, push → first new answer',
      value: median(ours),
      unit: 'ms',
      samples: ours,
    },
    { name: 'raw: bare git push over OpenSSH', value: median(pushes), unit: 'ms', samples: pushes },
    { name: 'raw: bare runc run until it answers', value: median(bare), unit: 'ms', samples: bare },
    { name: 'redeploy ÷ raw sum', value: median(ours) / median(raw), unit: 'x', bar: 3 },
    {
      name: 'ps:restart: start, ready, switch, commit',
      value: start,
      unit: 'ms',
      samples: restarts,
    },
    {
      name: 'container start to ready ÷ bare runc run',
      value: median(starts) / median(bare),
      unit: 'x',
      bar: 2,
    },
  ]
}

async function barePush(paas: Paas, openssh: OpenSsh, round: number): Promise<number> {
  const dir = await paas.tree('raw', { 'file.txt': `round ${round} ${Date.now()}` })
  return timed(() =>
    exec(
      'git',
      [
        'push',
        '-q',
        '--force',
        `${openssh.user}@127.0.0.1:${openssh.repo}`,
        'HEAD:refs/heads/main',
      ],
      {
        cwd: dir,
        env: { ...paas.env, GIT_SSH_COMMAND: openssh.ssh.join(' ') },
      },
    ),
  )
}

async function shortCommands(instance: Paas, openssh: OpenSsh): Promise<Figure[]> {
  await instance.paas(['config:set', '--no-restart', 'shop', 'KEY=value'])
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < rounds * 2; round += 1) {
    ours.push((await instance.ssh(['config:get', 'shop', 'KEY'])).ms)
    theirs.push(await timed(openssh.sshTrue))
  }
  return [
    { name: 'ssh paas config:get', value: median(ours), unit: 'ms', samples: ours },
    { name: 'raw: ssh host true (OpenSSH)', value: median(theirs), unit: 'ms', samples: theirs },
    { name: 'config:get ÷ ssh host true', value: median(ours) / median(theirs), unit: 'x', bar: 1 },
  ]
}

async function lostRequests(instance: Paas, keepAlive: boolean): Promise<Figure[]> {
  const host = `shop.${instance.config.domain}`
  const load = startLoad({ port: instance.config.httpPort, host, perSecond: 200, keepAlive })
  for (let round = 0; round < 20; round += 1) {
    const dir = await instance.tree('shop', nodeApp(`load ${keepAlive} ${round}`))
    const { code, out } = await instance.push('shop', dir)
    if (code !== 0) throw new Error(out)
  }
  const { sent, lost } = await load.stop()
  const name = `requests lost in 20 redeploys at 200/s, keep-alive ${keepAlive ? 'on' : 'off'}`
  if (lost.length > 0) process.stderr.write(`${[...new Set(lost)].join('\n')}\n`)
  return [{ name: `${name} (of ${sent})`, value: lost.length, unit: 'requests', bar: 0 }]
}
