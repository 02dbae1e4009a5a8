import { rmSync, writeFileSync } from 'node:fs'
import type { PaasConfig } from '../core/config.ts'
import { isDiskFull } from '../core/errors.ts'
import { log, logError } from '../core/log.ts'
import { paths } from '../core/names.ts'
import { claimDirectory } from '../core/own-directory.ts'
import { checkSubnet } from '../runner/host.ts'
import { openDaemon } from './daemon.ts'
import { runningDaemon } from './daemon-pid.ts'
import { openLocalDoor } from './doors/local-door.ts'
import { openPrometheus } from './metrics/prometheus.ts'
import { openSshDoor } from './doors/ssh-door.ts'

/** Runs the daemon until it is told to stop; resolves when every app has been looked after once. */
export async function serve(config: PaasConfig): Promise<void> {
  const { home, run, daemonPid, socket } = paths(config)
  const other = runningDaemon(daemonPid)
  if (other) {
    log('already-running', { pid: other })
    process.exit(75)
  }
  await claimDirectory('PAAS_HOME', home)
  await claimDirectory('PAAS_RUN', run)
  await checkSubnet(config)
  writeFileSync(daemonPid, String(process.pid))

  const daemon = await openDaemon(config)
  const ssh = await openSshDoor(daemon)
  const local = await openLocalDoor(socket, daemon)
  const metrics = config.metricsPort ? await openPrometheus(daemon, config.metricsPort) : undefined
  log('ready', { ssh: ssh.port, http: config.httpPort, domain: config.domain })

  let stopping = false
  const stop = async (signal: string) => {
    if (stopping) return
    stopping = true
    log('stopping', { signal })
    daemon.farewell.say()
    local.close()
    metrics?.[Symbol.dispose]()
    await ssh.close()
    daemon.close()
    rmSync(daemonPid, { force: true })
    rmSync(socket, { force: true })
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => void stop(signal))
  }
  process.on('uncaughtException', (error) => {
    logError('uncaught-exception', error)
    if (!isDiskFull(error)) process.exit(1) // a disk can be made free again; apps serve meanwhile
  })
  process.on('unhandledRejection', (error) => logError('unhandled-rejection', error))
  daemon.cron.look()
  await daemon.reconcile.all()
}
