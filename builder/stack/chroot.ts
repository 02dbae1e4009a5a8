import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exec, type ExecResult } from '../../core/exec.ts'

export type ChrootJob = {
  /** Directories beneath, lowest first; with none, `upper` is the whole root. */
  lowers: string[]
  /** An empty directory, which afterwards holds what the command wrote; or a root. */
  upper: string
  /** Seen as /var/lib/apt/lists. */
  lists: string
  argv: string[]
  signal: AbortSignal
  timeoutMs: number
}

/**
 * Runs one command of Debian's own as root, on the host's network, in a root made of layers. Its
 * mounts and processes live in namespaces of their own: however it ends, they end with it. Not for
 * anything of a user's. Same failures as `exec`.
 */
export async function runInChroot(job: ChrootJob): Promise<ExecResult> {
  const { lowers, upper, lists, argv, signal, timeoutMs } = job
  const beside = `${upper}.chroot`
  const isRoot = lowers.length === 0
  const root = isRoot ? upper : join(beside, 'root')
  await rm(beside, { recursive: true, force: true })
  try {
    for (const name of ['root', 'work', 'archives/partial']) {
      await mkdir(join(beside, name), { recursive: true })
    }
    // dpkg asks it whether a service may start: none may.
    await mkdir(join(upper, 'usr/sbin'), { recursive: true })
    await writeFile(join(upper, policy), '#!/bin/sh\nexit 101\n', { mode: 0o755 })
    // The stack has no manuals, nor directories of them; links into those must not fail (OpenJDK).
    for (const section of manuals) await mkdir(join(upper, section), { recursive: true })
    const directories = [
      `lowerdir=${lowers.toReversed().map(escape).join(':')}`,
      `upperdir=${escape(upper)}`,
      `workdir=${escape(join(beside, 'work'))}`,
      'index=off,metacopy=off,redirect_dir=off,volatile',
    ].join(',')
    const places = [root, isRoot ? '' : directories, lists, join(beside, 'archives')]
    const enter = ['sh', '-c', script, 'sh', ...places, ...environment, ...argv]
    return await exec('unshare', [...namespaces, ...enter], { signal, timeoutMs })
  } finally {
    await rm(beside, { recursive: true, force: true })
    for (const left of isRoot ? traces : [...traces, ...mountPoints]) {
      await rm(join(upper, left), { recursive: true, force: true })
    }
  }
}

const policy = 'usr/sbin/policy-rc.d'

const manuals = [1, 2, 3, 4, 5, 6, 7, 8].map((section) => `usr/share/man/man${section}`)

const namespaces = ['--mount', '--propagation=private', '--pid', '--fork', '--kill-child', '--']

const environment = [
  'env',
  '-i',
  'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/root',
  'LC_ALL=C.UTF-8',
  'DEBIAN_FRONTEND=noninteractive',
]

/** The shell stays as the first process of the namespace, and so reaps what others leave. */
const script = `
set -eu
root=$1 directories=$2 lists=$3 archives=$4
shift 4
[ -z "$directories" ] || mount -t overlay -o "$directories" overlay "$root"
mount -t proc proc "$root/proc"
for dir in dev run tmp; do mount -t tmpfs -o mode=1777,size=256m tmpfs "$root/$dir"; done
for device in null zero full random urandom; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind "$lists" "$root/var/lib/apt/lists"
mount --bind "$archives" "$root/var/cache/apt/archives"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" "$@"
`

/** What a run leaves behind that nothing should keep. */
const traces = [
  policy,
  'usr/share/man',
  'etc/.pwd.lock',
  'var/cache/apt/pkgcache.bin',
  'var/cache/apt/srcpkgcache.bin',
  'var/cache/debconf/config.dat-old',
  'var/cache/debconf/templates.dat-old',
  'var/cache/ldconfig',
  'var/lib/dpkg/diversions-old',
  'var/lib/dpkg/lock',
  'var/lib/dpkg/lock-frontend',
  'var/lib/dpkg/statoverride-old',
  'var/lib/dpkg/status-old',
  'var/log/alternatives.log',
  'var/log/apt',
  'var/log/dpkg.log',
]

/** Directories that a root needs, and that a layer upon one should not have. */
const mountPoints = [
  'dev',
  'proc',
  'run',
  'tmp',
  'etc/resolv.conf',
  'root',
  'var/cache/apt',
  'var/lib/apt/lists',
]

function escape(path: string): string {
  return path.replace(/[\\,:]/g, '\\$&')
}
