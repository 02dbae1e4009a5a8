import { existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { forgetUses } from '../builder/layers/shared.ts'
import { readConfig } from '../core/config.ts'
import { Failure, failureLines, statusOf } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import { claimDirectory, removeDirectory } from '../core/own-directory.ts'
import { closeRouter } from '../router/caddy.ts'
import { closeHost, type Host, openHost } from '../runner/host.ts'
import { listInstances, sweepOrphans } from '../runner/observe.ts'
import { stopInstance } from '../runner/stop.ts'
import { runningDaemon } from './daemon-pid.ts'

/**
 * Stops everything of this instance: daemon, containers, router, bridge, mounts, cgroups. The state
 * stays, so that the next start brings every app back; `--purge` removes it too.
 */
const stopTimeoutMs = 10_000

try {
  await down(process.argv.includes('--purge'))
} catch (error) {
  process.stderr.write(`${failureLines(error).join('\n')}\n`)
  if (!(error instanceof Failure)) process.stderr.write(`${String(error)}\n`)
  process.exitCode = statusOf(error)
}

async function down(purge: boolean): Promise<void> {
  const config = readConfig(process.env)
  const { home, run, daemonPid } = paths(config)
  const nothing = !existsSync(home)
  await claimDirectory('PAAS_RUN', run)
  await claimDirectory('PAAS_HOME', home)
  await stopDaemon(daemonPid)
  const host = await openHost(config) // finds what is there; closing it removes that
  await closeRouter(config) // no request may come to who is stopping
  await stopInstances(host)
  await closeHost(host)
  await removeDirectory('PAAS_RUN', run)
  if (!purge && !nothing) return
  await forgetUses(config)
  await removeDirectory('PAAS_HOME', home)
}

/** Everything at once, with the grace that an app has; then whatever else is there. */
async function stopInstances(host: Host): Promise<void> {
  const graceMs = host.config.graceTimeoutMs
  const all = await listInstances(host)
  await Promise.allSettled(all.map(({ id }) => stopInstance(host, id, { graceMs })))
  await sweepOrphans(host, new Set())
  const left = await listInstances(host)
  if (left.length === 0) return
  const names = left.map(({ app, process }) => `${process} of ${app}`)
  throw new Failure('failed', `Could not stop everything: left is ${names.join(', ')}`, {
    hint: 'The lines above say why; when that is mended, stop paas again',
  })
}

async function stopDaemon(pidFile: string): Promise<void> {
  const deadline = Date.now() + stopTimeoutMs
  let signal: NodeJS.Signals = 'SIGTERM'
  for (let pid = runningDaemon(pidFile); pid; pid = runningDaemon(pidFile)) {
    process.kill(pid, signal)
    if (Date.now() > deadline) signal = 'SIGKILL'
    await pause(50)
  }
}
