import { createHash } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { Failure } from './errors.ts'

/**
 * Everything that can differ between two instances on one machine, read once from the environment.
 * Durations are in milliseconds, sizes in bytes.
 */
export type PaasConfig = {
  /** State that must survive a reboot: database, repositories, layers, logs, keys. */
  home: string
  /** State that need not: sockets, routes, mounts, bundles. On tmpfs. */
  run: string
  /** What every instance on this host may share: stacks and runtimes, by content key. */
  cache: string
  /** Begins the name of every kernel object of this instance: at most 11 characters. */
  tag: string
  sshPort: number
  httpPort: number
  httpsPort: number
  /** Where Prometheus scrapes, on the loopback; undefined for nowhere. */
  metricsPort: number | undefined
  /** Apps answer at `<app>.<domain>`. */
  domain: string
  /** CIDR of the apps' bridge, such as `10.87.0.0/16`; the first address is the bridge's own. */
  subnet: string
  readyTimeoutMs: number
  drainTimeoutMs: number
  graceTimeoutMs: number
  buildTimeoutMs: number
  triggerTimeoutMs: number
  /** For each of the release phase and the scripts of app.json. */
  scriptTimeoutMs: number
  buildMemoryBytes: number
  /** Of what a build writes, and of its cache, where the file system can limit it. */
  buildDiskBytes: number
  /** Over all apps; a further build waits in line. */
  buildsAtOnce: number
  /** Where the versions of Go come from that the stack's suite has not; undefined for nowhere. */
  goMirror: string | undefined
  /** The same of Rust. */
  rustMirror: string | undefined
  /** Where .NET comes from, which the suite has not at all; undefined for nowhere. */
  dotnetMirror: string | undefined
  /** With less free space than this no build is begun. */
  minFreeBytes: number
}

/** Of .NET's own makers, who name archives by whole addresses; a mirror has them in its place. */
export const dotnetHome = 'https://builds.dotnet.microsoft.com/dotnet/'

const mebibyte = 1024 * 1024

/** Reads the environment; throws a usage Failure that names the variable and what it should be. */
export function readConfig(env: NodeJS.ProcessEnv): PaasConfig {
  return {
    ...directories(env),
    ...ports(env),
    domain: domain(env.PAAS_DOMAIN || 'localhost'),
    subnet: subnet(env.PAAS_SUBNET || '10.87.0.0/16'),
    readyTimeoutMs: seconds(env, 'PAAS_READY_TIMEOUT', 60),
    drainTimeoutMs: seconds(env, 'PAAS_DRAIN_TIMEOUT', 30),
    graceTimeoutMs: seconds(env, 'PAAS_GRACE_TIMEOUT', 30),
    buildTimeoutMs: seconds(env, 'PAAS_BUILD_TIMEOUT', 30 * 60),
    triggerTimeoutMs: seconds(env, 'PAAS_TRIGGER_TIMEOUT', 60),
    scriptTimeoutMs: seconds(env, 'PAAS_SCRIPT_TIMEOUT', 10 * 60),
    buildMemoryBytes: positive(env, 'PAAS_BUILD_MEMORY', 2048, 'a size in MiB') * mebibyte,
    buildDiskBytes: positive(env, 'PAAS_BUILD_DISK', 10_240, 'a size in MiB') * mebibyte,
    buildsAtOnce: Math.ceil(positive(env, 'PAAS_BUILDS', buildsByCores(), 'a number of builds')),
    goMirror: mirror(env, 'PAAS_GO_MIRROR', 'https://go.dev/dl/'),
    rustMirror: mirror(env, 'PAAS_RUST_MIRROR', 'https://static.rust-lang.org/'),
    dotnetMirror: mirror(env, 'PAAS_DOTNET_MIRROR', dotnetHome),
    minFreeBytes: positive(env, 'PAAS_MIN_FREE', 2048, 'a size in MiB') * mebibyte,
  }
}

/** What a container may use unless `resource:limit` says otherwise. */
export const defaultLimits = { memoryBytes: 512 * mebibyte, cpus: 1, pids: 512 }

/** What a container may write unless `resource:limit --disk` says otherwise. */
export const defaultDiskBytes = 2048 * mebibyte

/** The port an app must listen on (contract §8). */
export const appPort = 5000

/** The unprivileged user of apps and builds, the same number in every stack. */
export const appUser = 32767

/** Where commands are looked for unless the image says otherwise. */
export const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Limits with no reason to be settable. */
export const limits = {
  releasesKept: 5,
  failedReleasesKept: 50,
  buildsKept: 100,
  eventsKept: 500,
  deathsKept: 100,
  trashDays: 7,
  /** Finished one-offs in the list, of an app or of one of its cron jobs. */
  runsKept: 100,
  detachedRunsPerApp: 20,
  detachedRuns: 100,
  cronJobsPerApp: 50,
  runOutputBytes: 8 * 1024,
  runCommandCharacters: 4096,
  runTtlMs: 24 * 60 * 60 * 1000,
  runTtlMostMs: 7 * 24 * 60 * 60 * 1000,
  routeUpstreams: 12,
  logBytesPerApp: 50 * mebibyte,
  logBytesLeast: 8 * mebibyte,
  logBytesMost: 10_240 * mebibyte,
  /** A process that is started again and again leaves a file each time. */
  logFilesPerApp: 500,
  logLineBytes: 16 * 1024,
  pushBytes: 1024 * mebibyte,
  configValueBytes: 64 * 1024,
  /** Of all values of an app together: the kernel refuses a larger environment. */
  configBytes: 1024 * 1024,
  /** What a command reads of its standard input; base64 and quotes take their part. */
  configTextBytes: 2048 * 1024,
  maintenancePageBytes: 256 * 1024,
  /** Of an image that comes from elsewhere: unpacked, and as an archive. */
  imageBytes: 16 * 1024 * mebibyte,
  imageEntries: 1_000_000,
  imageLayers: 127,
  treeEntries: 50_000,
  treeBytes: 2048 * mebibyte,
  /** A file of the user's that paas itself reads: a manifest, a Procfile, a lockfile. */
  userFileBytes: 16 * mebibyte,
  buildCacheBytes: 1024 * mebibyte,
  /** Images and layers of an app's Dockerfile: above it what no image needs goes, at twice all. */
  dockerCacheBytes: 4096 * mebibyte,
  /** A shared layer that no instance on the host needs goes after so long. */
  sharedUnusedMs: 7 * 24 * 60 * 60 * 1000,
  /** The same when somebody asks for room: longer than a build may still stand on it unlisted. */
  sharedUnusedAskedMs: 24 * 60 * 60 * 1000,
  /** An instance whose state has gone is believed to be gone after so long. */
  instanceGoneMs: 30 * 24 * 60 * 60 * 1000,
  sshConnections: 256,
  sshConnectionsPerAddress: 32,
  sshLoginGraceMs: 30_000,
  sshLoginTries: 6,
  sshChannels: 16,
} as const

const defaultHome = '/var/lib/paas'

/** A wait of more than a week is a mistake, and one of 25 days is more than a timer can count. */
const secondsMost = 7 * 24 * 60 * 60

/** Of the 107 that a socket's path may have, with room for the names below. */
const runBytesMost = 70

/** The run directory goes whenever paas stops, so it may hold nothing that is to stay. */
function directories(env: NodeJS.ProcessEnv) {
  const home = resolve(env.PAAS_HOME || defaultHome)
  const tag = home === defaultHome ? 'paas' : `paas-${hash6(home)}`
  const run = env.PAAS_RUN ? resolve(env.PAAS_RUN) : join('/run', tag)
  const cache = resolve(env.PAAS_CACHE || '/var/cache/paas')
  for (const [name, other] of Object.entries({ PAAS_HOME: home, PAAS_CACHE: cache })) {
    if (!`${other}/`.startsWith(join(run, '/'))) continue
    throw new Failure('usage', `PAAS_RUN is ${run}, and ${name} lies there: ${other}`, {
      hint: 'PAAS_RUN is emptied when paas stops: choose a directory for it alone',
    })
  }
  if (Buffer.byteLength(run) > runBytesMost) {
    throw new Failure('usage', `PAAS_RUN is longer than ${runBytesMost} bytes: ${run}`, {
      hint: 'The path of a socket below it would be more than the kernel takes',
    })
  }
  return { home, run, cache, tag }
}

/** Two at least: a build waits for the network as much as for a core. */
function buildsByCores(): number {
  return Math.max(2, Math.floor(availableParallelism() / 2))
}

function hash6(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 6)
}

function positive(env: NodeJS.ProcessEnv, name: string, fallback: number, want: string): number {
  const text = env[name]
  if (!text) return fallback
  const value = Number(text)
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new Failure('usage', `${name} is "${text}": expected ${want}`)
  }
  return value
}

function mirror(env: NodeJS.ProcessEnv, name: string, fallback: string): string | undefined {
  const text = env[name] || fallback
  if (text === 'off') return undefined
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text.replace(/\/*$/, '/')
  throw new Failure('usage', `${name} is "${text}": expected an address of the web, or off`)
}

function seconds(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const want = `a number of seconds, at most ${secondsMost}`
  const value = positive(env, name, fallback, want)
  if (value > secondsMost) throw new Failure('usage', `${name} is "${env[name]}": expected ${want}`)
  return value * 1000
}

function ports(env: NodeJS.ProcessEnv) {
  const all = {
    sshPort: port(env, 'PAAS_SSH_PORT', 2222),
    httpPort: port(env, 'PAAS_HTTP_PORT', 80),
    httpsPort: port(env, 'PAAS_HTTPS_PORT', 443),
    metricsPort: env.PAAS_METRICS_PORT ? port(env, 'PAAS_METRICS_PORT', 0) : undefined,
  }
  const names = ['PAAS_SSH_PORT', 'PAAS_HTTP_PORT', 'PAAS_HTTPS_PORT', 'PAAS_METRICS_PORT']
  const numbers = Object.values(all)
  for (const [at, number] of numbers.entries()) {
    const first = numbers.indexOf(number)
    if (number === undefined || first === at) continue
    throw new Failure('usage', `${names[first]} and ${names[at]} are both ${number}`, {
      hint: 'Give each a port of its own',
    })
  }
  return all
}

function port(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = env[name] || String(fallback)
  const value = Number(text)
  if (/^\d{1,5}$/.test(text) && value > 0 && value <= 65535) return value
  throw new Failure('usage', `${name} is "${text}": expected a port from 1 to 65535`)
}

function domain(text: string): string {
  const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
  if (text.length > 200 || !new RegExp(`^${label}(\\.${label})*$`).test(text)) {
    throw new Failure('usage', `PAAS_DOMAIN is "${text}": expected a name like apps.example.com`)
  }
  return text
}

function subnet(text: string): string {
  const [, base = '', bits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? []
  const size = Number(bits)
  if (!isIPv4(base) || !(size >= 8 && size <= 28)) {
    throw new Failure('usage', `PAAS_SUBNET is "${text}": expected IPv4 CIDR from /8 to /28`)
  }
  if (/^(0|127|169\.254|22[4-9]|2[345]\d)\./.test(base)) {
    throw new Failure('usage', `PAAS_SUBNET is "${text}": no host can have such an address`, {
      hint: 'Use a private network, such as 10.87.0.0/16',
    })
  }
  return text
}
