import { appPort, appUser, searchPath } from '../core/config.ts'
import type { InstanceSpec, WindowSize } from '../core/types.ts'
import { seccompProfile } from './seccomp.ts'

/** What a container's configuration needs to know of the host and of its own bundle. */
export type SpecContext = {
  /** First user id of the app's range, or undefined without a user namespace. */
  idBase: number | undefined
  bundle: string
  cgroup: string
  architecture: NodeJS.Architecture
  /** Program that runs as PID 1, statically linked. */
  init: string
  /** The host's certificates, shown in place of the stack's. */
  certificates: string | undefined
  /** Hard limit of open files of the daemon itself, which no container may exceed. */
  filesMax: number
  limitsSwap: boolean
  /** The daemon's own badness: a container's may not be lower. */
  oomScore: number
  /** What runs between the container's creation and its program, if anything. */
  hook?: { path: string; args: string[] } | undefined
  /** `spec.mounts` with sources as the host knows them, owners shifted. */
  mounts: NonNullable<InstanceSpec['mounts']>
}

const idRange = 65_536
const filesWanted = 65_536
const sharedMemory = '67108864'
export const cpuPeriodUs = 100_000
const initTarget = '/dev/init' // on a tmpfs, and so never in a layer
const lowestFreePort = 'net.ipv4.ip_unprivileged_port_start'
const oomScores = { app: 100, run: 300, build: 900 }

/** The OCI configuration of a container: deny by default, then what a server needs. Pure. */
export function ociSpec(spec: InstanceSpec, context: SpecContext) {
  return {
    ociVersion: '1.0.2',
    hostname: spec.app,
    root: { path: 'rootfs', readonly: false },
    process: processOf(spec, context),
    mounts: [...kernelMounts(), ...fileMounts(context), ...context.mounts.map(extraMount)],
    ...(context.hook && { hooks: { createRuntime: [hookOf(context.hook)] } }),
    annotations: {
      'paas.app': spec.app,
      'paas.process': spec.process,
      'paas.release': String(spec.release),
    },
    linux: {
      ...namespacesOf(context),
      cgroupsPath: context.cgroup,
      resources: resourcesOf(spec, context),
      // A port below 1024 needs a capability otherwise; this says so of its own network alone.
      ...((spec.port ?? appPort) < 1024 && { sysctl: { [lowestFreePort]: '0' } }),
      seccomp: seccompProfile(context.architecture, spec),
      maskedPaths,
      readonlyPaths,
    },
  }
}

function processOf(spec: InstanceSpec, context: SpecContext) {
  const files = Math.min(filesWanted, context.filesMax)
  const port = String(spec.port ?? appPort)
  // The runtime's own signals reach our init under load, which would tell the user of each.
  const quiet = { TINI_VERBOSITY: '0' }
  const env = { PATH: searchPath, HOME: '/app', PORT: port, ...quiet, ...spec.env }
  return {
    ...terminalOf(spec.terminal),
    user: userOf(spec),
    // -g: signals go to the whole group, or an app behind `sh -c` or npm would never see them.
    args: [initTarget, '-g', '--', ...spec.argv],
    env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    cwd: spec.workdir ?? '/app',
    capabilities: capabilitiesOf(spec, context),
    rlimits: [
      { type: 'RLIMIT_NOFILE', soft: files, hard: files },
      { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
    ],
    noNewPrivileges: true,
    oomScoreAdj: Math.max(oomScores[spec.kind ?? 'app'], context.oomScore),
  }
}

/**
 * A terminal has its size before the program asks for it: the runtime passes that of its own on
 * only once the program runs.
 */
export function terminalOf(window: WindowSize | undefined) {
  if (!window) return { terminal: false }
  return { terminal: true, consoleSize: { height: window.rows, width: window.columns } }
}

function userOf({ user = 'app' }: InstanceSpec) {
  const ids = { app: appUser, root: 0 }
  const known = typeof user === 'string' ? { uid: ids[user], gid: ids[user] } : user
  const { uid, gid, groups = [] } = known
  return { uid, gid, umask: 0o022, ...(groups.length > 0 && { additionalGids: groups }) }
}

/** What official images of servers do as root before they become somebody else. */
const rootCapabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID']

/** What a program needs that makes containers, to mount for them and to take this from them. */
const makerCapabilities = [
  'MKNOD', // asked for, though no device can be made in there
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETPCAP',
  'SYS_ADMIN',
  'SYS_CHROOT',
]

/**
 * None, but for an image from elsewhere that says it runs as root: then those over its own files,
 * users and processes, which hold within its user namespace and nowhere else.
 */
function capabilitiesOf({ user, nested }: InstanceSpec, { idBase }: SpecContext) {
  const isRoot = typeof user === 'object' && user.uid === 0 && idBase !== undefined
  const isMaker = nested === true && idBase !== undefined
  const names = isMaker ? [...rootCapabilities, ...makerCapabilities] : rootCapabilities
  const held = isRoot || isMaker ? names.map((name) => `CAP_${name}`) : []
  return { bounding: held, effective: held, inheritable: [], permitted: held, ambient: [] }
}

function namespacesOf({ idBase }: SpecContext) {
  const names = ['mount', 'uts', 'ipc', 'pid', 'network', 'cgroup']
  const namespaces = (idBase === undefined ? names : [...names, 'user']).map((type) => ({ type }))
  if (idBase === undefined) return { namespaces }
  const map = [{ containerID: 0, hostID: idBase, size: idRange }]
  return { namespaces, uidMappings: map, gidMappings: map }
}

function resourcesOf(spec: InstanceSpec, context: SpecContext) {
  const { memoryBytes: limit, cpus, pids } = spec.limits
  return {
    devices: [{ allow: false, access: 'rwm' }],
    // The same number twice: no swap, or a leak would slow the whole host before it is killed.
    memory: context.limitsSwap ? { limit, swap: limit } : { limit },
    cpu: { period: cpuPeriodUs, quota: Math.round(cpus * cpuPeriodUs) },
    pids: { limit: pids },
  }
}

function hookOf(hook: NonNullable<SpecContext['hook']>) {
  return {
    path: hook.path,
    args: [hook.path, ...hook.args],
    env: [`PATH=${searchPath}`],
    timeout: 10,
  }
}

function kernelMounts() {
  const safe = ['nosuid', 'noexec', 'nodev']
  return [
    mount('/proc', 'proc', 'proc', safe),
    mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    mount('/dev/pts', 'devpts', 'devpts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
    ]),
    mount('/dev/shm', 'tmpfs', 'shm', [...safe, 'mode=1777', `size=${sharedMemory}`]),
    mount('/dev/mqueue', 'mqueue', 'mqueue', safe),
    mount('/sys', 'sysfs', 'sysfs', [...safe, 'ro']),
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', [...safe, 'relatime', 'ro']), // sizes of heaps
  ]
}

function fileMounts({ bundle, init, certificates }: SpecContext) {
  const own = ['resolv.conf', 'hosts', 'hostname'].map((name) => {
    // systemd mounts /run noexec, and from a user namespace such a flag cannot be taken off.
    return bind(`${bundle}/${name}`, `/etc/${name}`, true, ['noexec'])
  })
  const files = [bind(init, initTarget, true), ...own]
  if (certificates) files.push(bind(certificates, '/etc/ssl/certs/ca-certificates.crt', true))
  return files
}

function extraMount({ source, target, readOnly }: SpecContext['mounts'][number]) {
  return bind(source, target, readOnly)
}

function bind(source: string, target: string, readOnly: boolean, more: string[] = []) {
  return mount(target, 'bind', source, ['bind', 'nosuid', 'nodev', readOnly ? 'ro' : 'rw', ...more])
}

function mount(destination: string, type: string, source: string, options: string[]) {
  return { destination, type, source, options }
}

const maskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]

const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
