import { constants } from 'node:fs'
import { access, chmod, mkdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { kernelNames, paths } from '../core/names.ts'
import { hardwareAddress, isWithin, parseSubnet } from './address.ts'
import { limitsSwap, removeCgroup } from './cgroup.ts'
import { firewall, noFirewall } from './firewall.ts'
import { sealProgram } from './sealed.ts'
import { firstProject, whyNoQuota } from './quota.ts'
import {
  closeIdmap,
  guard,
  guardShared,
  type Idmap,
  idmappedApps,
  sweepProbes,
  whyNoIdmap,
} from './idmap.ts'

/** The machine, made ready to run containers: facts; all state lies in the kernel and in files. */
export type Host = {
  config: PaasConfig
  /** Full paths of the programs that others start for us. */
  programs: { runc: () => string; conmon: string; init: string }
  /** Why containers share the host's user ids, or undefined when each app has its own. */
  noUserNamespace: string | undefined
  /** Why nobody is held to a limit on disk space, or undefined when the file system does that. */
  noQuota: string | undefined
  firstProject: number
  limitsSwap: boolean
  filesMax: number
  oomScore: number
  certificates: string | undefined
  /** Ranges already opened, or being opened, by app. */
  idmaps: Map<string, Promise<Idmap>>
}

const certificatesFile = '/etc/ssl/certs/ca-certificates.crt'

/** Directories, bridge, firewall; safe to repeat, and does so at every start of the daemon. */
export async function openHost(config: PaasConfig): Promise<Host> {
  await makeDirectories(config)
  const programs = {
    runc: sealProgram(await find('runc'), paths(config).programs),
    conmon: await find('conmon'),
    // Not catatonit: it blocks SIGTSTP in what it starts, which ends ^Z in bash.
    init: await find('tini-static'),
  }
  await checkPassage(config)
  await openNetwork(config)
  await sweepProbes(config)
  const noUserNamespace = await whyNoIdmap(config)
  if (noUserNamespace === undefined) for (const path of storeParts(config)) await guard(path)
  await guardShared(config)
  return {
    config,
    programs,
    noUserNamespace,
    noQuota: whyNoQuota(paths(config).store),
    firstProject: firstProject(config.tag),
    limitsSwap: limitsSwap(),
    filesMax: await hardFileLimit(),
    oomScore: Number(await readFile('/proc/self/oom_score_adj', 'utf8')),
    certificates: (await isReadable(certificatesFile)) ? certificatesFile : undefined,
    idmaps: new Map(),
  }
}

/** Removes what `openHost` made in the kernel; sweepOrphans first, for no container may be left. */
export async function closeHost(host: Host): Promise<void> {
  const { config } = host
  const { bridge, builds, cgroupParent } = kernelNames(config)
  host.idmaps.clear()
  for (const app of await idmappedApps(config)) await closeIdmap(config, app)
  await exec('nft', ['-f', '-'], { input: noFirewall(config) })
  if (await isReadable(`/sys/class/net/${bridge}`)) await exec('ip', ['link', 'delete', bridge])
  for (const group of [cgroupParent, builds]) await removeCgroup(group)
  const { bundles, exits, idmaps, programs, runcRoot } = paths(config)
  await rm(programs, { recursive: true, force: true })
  for (const directory of [bundles, exits, idmaps, runcRoot]) await removeIfEmpty(directory)
}

/** Gives back what an app without containers holds in the kernel: its range of user ids. */
export async function forgetApp(host: Host, app: string): Promise<void> {
  host.idmaps.delete(app)
  await closeIdmap(host.config, app)
}

async function makeDirectories(config: PaasConfig): Promise<void> {
  const p = paths(config)
  const directories = [
    ...storeParts(config),
    p.sharedLayers,
    p.bundles,
    p.runcRoot,
    p.programs,
    p.exits,
    p.idmaps,
  ]
  for (const path of directories) await mkdir(path, { recursive: true })
  // Files below keep the ids of containers, setuid ones of their root too: nobody else goes there.
  for (const path of [p.store, p.exits, p.idmaps]) await chmod(path, 0o700)
  // A container's init comes through here on the way to its root, and may see no names.
  for (const path of [config.run, p.bundles, p.runcRoot]) await chmod(path, 0o711)
}

/** All of the store but what is half made. */
function storeParts(config: PaasConfig): string[] {
  const p = paths(config)
  const caches = [p.buildCache(''), p.dockerCache('')]
  return [p.layers, p.layerNotes, p.scratch(''), p.storage(''), p.trash, ...caches]
}

/** The root of a container's user namespace is nobody on the host, and must get to its files. */
async function checkPassage(config: PaasConfig): Promise<void> {
  for (let folder = config.run; folder !== '/'; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) {
      throw new Failure('usage', `PAAS_RUN is ${config.run}: containers cannot pass ${folder}`, {
        hint: `chmod o+x ${folder}, or choose another directory`,
      })
    }
  }
}

/**
 * Throws a usage Failure when the host reaches addresses of a bridge still to be made through
 * another device, such as another instance's bridge. A wider network than ours is no harm, for the
 * narrower route wins.
 */
export async function checkSubnet(config: PaasConfig): Promise<void> {
  const { bridge } = kernelNames(config)
  if (await isReadable(`/sys/class/net/${bridge}`)) return
  const { stdout } = await exec('ip', ['-oneline', '-4', 'route', 'show'])
  for (const line of stdout.split('\n')) {
    const [, to = '', device = ''] = /^(\d[\d./]*) .*\bdev (\S+)/.exec(line) ?? []
    if (!to || !isWithin(to, config.subnet)) continue
    throw new Failure('usage', `PAAS_SUBNET is ${config.subnet}, and ${device} has ${to}`, {
      hint: 'Choose a network that nothing on this host uses, such as PAAS_SUBNET=10.88.0.0/16',
    })
  }
}

const askAgainMs = 20

/** The bridge and the firewall, as they should be, whatever was there. */
export async function openNetwork(config: PaasConfig): Promise<void> {
  const { bridge } = kernelNames(config)
  const { gateway, bits } = parseSubnet(config.subnet)
  const hardware = hardwareAddress(gateway)
  const lines = [
    `address replace ${gateway}/${bits} dev ${bridge}`,
    `link set ${bridge} addrgenmode none up`,
  ]
  if (!(await isReadable(`/sys/class/net/${bridge}`))) {
    // A fixed hardware address: a bridge would otherwise change its own as containers come and go.
    lines.unshift(`link add ${bridge} address ${hardware} type bridge stp_state 0 forward_delay 0`)
  }
  await exec('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` })
  await exec('nft', ['-f', '-'], { input: firewall(config) })
  await writeFile('/proc/sys/net/ipv4/ip_forward', '1')
  // The question for a new container's address may come before its end of the bridge is open, and
  // is lost. The kernel would ask again after a second, and one start in fifty would take that.
  await writeFile(`/proc/sys/net/ipv4/neigh/${bridge}/retrans_time_ms`, String(askAgainMs))
}

async function find(program: string): Promise<string> {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/bin', '/sbin']
  for (const folder of folders) {
    const path = join(folder, program)
    if (folder.startsWith('/') && (await isReadable(path, constants.X_OK))) return path
  }
  throw new Failure('failed', `${program} is not installed`, { hint: `apt-get install ${program}` })
}

async function isReadable(path: string, mode = constants.R_OK): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  )
}

async function hardFileLimit(): Promise<number> {
  const text = await readFile('/proc/self/limits', 'utf8')
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(text)?.[1]
  return hard === 'unlimited' ? Infinity : Number(hard)
}

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (errno(error) !== 'ENOENT' && errno(error) !== 'ENOTEMPTY') throw error
  }
}
