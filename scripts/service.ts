import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import type { PaasConfig } from '../core/config.ts'
import { exec } from '../core/exec.ts'
import { isInstalled, settingsFile } from './installed.ts'

/** The systemd unit of the installed instance, where systemd runs the host. */

const unitFile = '/etc/systemd/system/paas.service'

/** Does systemd run here, rather than merely lie on the disk? */
export function hasSystemd(): boolean {
  return existsSync('/run/systemd/system')
}

/** Is this instance the one that the unit runs? */
export function ownsService(config: PaasConfig): boolean {
  return hasSystemd() && existsSync(unitFile) && isInstalled(config)
}

/** Writes the unit and has systemd run it at every boot. */
export async function addService(repository: string): Promise<void> {
  await writeFile(unitFile, unitText(repository, process.execPath))
  await exec('systemctl', ['daemon-reload'])
  await exec('systemctl', ['enable', 'paas.service'])
}

/** Undoes `addService`. */
export async function removeService(): Promise<void> {
  await exec('systemctl', ['disable', 'paas.service'])
  await rm(unitFile)
  await exec('systemctl', ['daemon-reload'])
}

export async function startService(): Promise<void> {
  await exec('systemctl', ['restart', 'paas.service'])
}

/** Has the daemon ended since `startService`, so that systemd is trying again? */
export async function serviceFailed(): Promise<boolean> {
  const { stdout } = await exec('systemctl', ['show', '--property=NRestarts', 'paas.service'])
  return stdout.trim() !== 'NRestarts=0'
}

export async function stopService(): Promise<void> {
  await exec('systemctl', ['stop', 'paas.service'])
}

/**
 * Stopping the unit stops the daemon alone: apps and router live on, so that an upgrade drops no
 * request (`scripts/down` stops them too).
 */
export function unitText(repository: string, node: string): string {
  return `[Unit]
Description=paas: git push, and your app runs
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart="${node}" "${repository}/daemon/main.ts"
EnvironmentFile=-${settingsFile}
Environment=NODE_COMPILE_CACHE=/var/cache/paas/compiled
KillMode=process
Delegate=yes
Restart=always
RestartSec=2
TimeoutStopSec=40
TasksMax=infinity
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
`
}
