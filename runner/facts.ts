import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { release } from 'node:os'
import type { PaasConfig } from '../core/config.ts'
import { exec } from '../core/exec.ts'
import { kernelNames, paths } from '../core/names.ts'
import { cgroupVersion, limitsSwap } from './cgroup.ts'
import { whyNoIdmap } from './idmap.ts'
import { whyNoQuota } from './quota.ts'

/** One line of `doctor`. `ok` is false when something fails, or is weaker than it could be. */
export type Fact = { name: string; ok: boolean; detail: string; hint?: string }

/** What this machine has and lacks for running apps. Needs root; changes nothing that stays. */
export async function hostFacts(config: PaasConfig): Promise<Fact[]> {
  const whyShared = await whyNoIdmap(config)
  return Promise.all([
    runc(whyShared === undefined),
    caddy(),
    ...programs.map(({ name, args, hint }) => program(name, args, hint)),
    { name: 'kernel', ok: true, detail: release() },
    controlGroups(),
    userNamespace(whyShared),
    diskQuotas(config),
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

/** From here on it keeps a POST whose first upstream refused, and websockets over a reload. */
const caddyMended = [2, 11]

async function caddy(): Promise<Fact> {
  const fact = await program('caddy', ['version'], 'apt-get install caddy')
  return fact.ok ? judgeCaddy(fact.detail) : fact
}

/** What a version of Caddy means. Pure. */
export function judgeCaddy(version: string): Fact {
  if (isAtLeast(version, caddyMended)) return { name: 'caddy', ok: true, detail: version }
  const detail = `${version}: a change of its settings cuts websockets, and a POST may be lost`
  const hint = "Update Caddy to 2.11 or newer, from a newer suite or from Caddy's own packages"
  return { name: 'caddy', ok: false, detail, hint }
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
  const detail = `version ${version}${swap}`
  if (version === 2) return { name, ok: true, detail }
  const weaker = 'what runs away is killed process by process, and crun cannot be used'
  const hint = 'Boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line'
  return { name, ok: false, detail: `${detail}: ${weaker}`, hint }
}

function userNamespace(whyShared: string | undefined): Fact {
  const name = 'user namespaces'
  if (whyShared === undefined) return { name, ok: true, detail: 'each app has its own user ids' }
  const detail = `apps share the host's user ids: ${whyShared}`
  const hint = 'Needs Linux 5.19 and a file system with idmapped mounts (ext4, xfs, btrfs)'
  return { name, ok: false, detail, hint }
}

function diskQuotas(config: PaasConfig): Fact {
  const name = 'disk quotas'
  const { home, store } = paths(config)
  const why = whyNoQuota(existsSync(store) ? store : home)
  if (why === undefined) return { name, ok: true, detail: 'containers and storages have limits' }
  const detail = `nothing limits what containers and storages take of ${home}: ${why}`
  const hint =
    'ext4: tune2fs -O project -Q prjquota DEVICE while unmounted, then mount with prjquota; ' +
    'xfs: mount with pquota'
  return { name, ok: false, detail, hint }
}

function appArmor(): Fact {
  const name = 'AppArmor'
  if (existsSync('/sys/kernel/security/apparmor')) {
    return { name, ok: true, detail: 'on, no profile of ours' }
  }
  const detail = 'absent: namespaces, seccomp and the lack of capabilities hold apps alone'
  const hint = 'Boot a kernel that has it, with apparmor=1 on its command line'
  return { name, ok: false, detail, hint }
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
