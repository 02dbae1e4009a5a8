import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { release } from 'node:os'
import type { PaasConfig } from '../core/config.ts'
import { exec } from '../core/exec.ts'
import { kernelNames } from '../core/names.ts'
import { cgroupVersion, limitsSwap } from './cgroup.ts'
import { whyNoIdmap } from './idmap.ts'

/** One line of `doctor`. `ok` is false when something fails, or is weaker than it could be. */
export type Fact = { name: string; ok: boolean; detail: string; hint?: string }

/** What this machine has and lacks for running apps. Needs root; changes nothing that stays. */
export async function hostFacts(config: PaasConfig): Promise<Fact[]> {
  const whyShared = await whyNoIdmap(config)
  return Promise.all([
    runc(whyShared === undefined),
    ...programs.map(({ name, args, hint }) => program(name, args, hint)),
    { name: 'kernel', ok: true, detail: release() },
    controlGroups(),
    userNamespace(whyShared),
    appArmor(),
    systemd(),
    forwarding(config),
  ])
}

const programs = [
  { name: 'conmon', args: ['--version'], hint: 'apt-get install conmon' },
  { name: 'tini-static', args: ['--version'], hint: 'apt-get install tini' },
  { name: 'nft', args: ['--version'], hint: 'apt-get install nftables' },
  { name: 'ip', args: ['-V'], hint: 'apt-get install iproute2' },
  { name: 'nsenter', args: ['--version'], hint: 'apt-get install util-linux' },
  { name: 'git', args: ['--version'], hint: 'apt-get install git' },
  { name: 'caddy', args: ['version'], hint: 'apt-get install caddy' },
  { name: 'mmdebstrap', args: ['--version'], hint: 'apt-get install mmdebstrap' },
]

async function program(name: string, args: string[], hint: string): Promise<Fact> {
  const version = await versionOf(name, args)
  if (version === undefined) return { name, ok: false, detail: 'not installed', hint }
  return { name, ok: true, detail: version }
}

/** Escapes by way of /dev and the masked paths: CVE-2025-31133, -52565, -52881. */
const runcMended = [1, 2, 8]

async function runc(userNamespaces: boolean): Promise<Fact> {
  const fact = await program('runc', ['--version'], 'apt-get install runc')
  if (!fact.ok || isAtLeast(fact.detail, runcMended)) return fact
  const weaker = `${fact.detail} has known ways out of a container`
  const hint = 'Update runc to 1.2.8, 1.3.3, 1.4.0 or newer'
  if (!userNamespaces) return { ...fact, ok: false, detail: weaker, hint }
  const detail = `${weaker}; its user namespace leaves nobody's rights beyond it`
  return { ...fact, ok: false, detail, hint }
}

/** Whether the first version number in `text` is no older than `wanted`. Pure. */
export function isAtLeast(text: string, wanted: number[]): boolean {
  const parts = /\d+(\.\d+)+/.exec(text)?.[0].split('.').map(Number) ?? []
  const index = wanted.findIndex((number, place) => (parts[place] ?? 0) !== number)
  return index < 0 || (parts[index] ?? 0) > (wanted[index] ?? 0)
}

function controlGroups(): Fact {
  const version = cgroupVersion()
  const name = 'cgroups'
  if (version === 1 && !existsSync('/sys/fs/cgroup/memory')) {
    return { name, ok: false, detail: 'no memory controller', hint: 'Mount /sys/fs/cgroup' }
  }
  const swap = limitsSwap() ? '' : ', without limits on swap'
  return { name, ok: true, detail: `version ${version}${swap}` }
}

function userNamespace(whyShared: string | undefined): Fact {
  const name = 'user namespaces'
  if (whyShared === undefined) return { name, ok: true, detail: 'each app has its own user ids' }
  const detail = `apps share the host's user ids: ${whyShared}`
  const hint = 'Needs Linux 5.19 and a file system with idmapped mounts (ext4, xfs, btrfs)'
  return { name, ok: false, detail, hint }
}

function appArmor(): Fact {
  const on = existsSync('/sys/kernel/security/apparmor')
  return {
    name: 'AppArmor',
    ok: true,
    detail: on ? 'on, no profile of ours' : 'not in this kernel',
  }
}

function systemd(): Fact {
  const on = existsSync('/run/systemd/system')
  return { name: 'systemd', ok: true, detail: on ? 'running' : 'absent, plain processes' }
}

/** Another's table may drop what ours lets through: in nftables the strictest has the last word. */
async function forwarding(config: PaasConfig): Promise<Fact> {
  const name = 'forwarding'
  const on = (await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8')).trim() === '1'
  const chains = await exec('nft', ['list', 'chains'], { accept: [0, 1] }).catch(() => undefined)
  const { bridge, nftTable } = kernelNames(config)
  const foreign = forwardDrops(chains?.stdout ?? '').filter((table) => table !== `inet ${nftTable}`)
  if (foreign.length > 0) {
    const detail = `dropped by default in table ${foreign.join(', ')}`
    const hint = `Apps reach nothing unless it accepts what enters or leaves by ${bridge}`
    return { name, ok: false, detail, hint }
  }
  return { name, ok: true, detail: on ? 'on' : 'off until paas starts' }
}

/** Tables with a forward hook whose policy is drop, from the text of `nft list chains`. Pure. */
export function forwardDrops(text: string): string[] {
  let table = ''
  const found: string[] = []
  for (const line of text.split('\n')) {
    table = /^table (\S+ \S+)/.exec(line)?.[1] ?? table
    if (/hook forward .*policy drop/.test(line)) found.push(table)
  }
  return found
}

async function versionOf(file: string, args: string[]): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await exec(file, args, { timeoutMs: 10_000 })
    return (stdout || stderr).split('\n')[0]?.trim()
  } catch {
    return undefined
  }
}
