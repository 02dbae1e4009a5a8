import { randomBytes } from 'node:crypto'
import { join, posix } from 'node:path'
import { domainToASCII } from 'node:url'
import type { PaasConfig } from './config.ts'
import { Failure } from './errors.ts'
import { maskValue } from './mask.ts'
import type { Layer } from './types.ts'

/** The one door for names users type, and the one place that derives paths and kernel names. */

/** App names become host names, paths and repository names. Accepts a trailing `.git`. */
export function parseAppName(text: string): string {
  const name = text.replace(/^\/+/, '').replace(/\.git$/, '')
  if (/^[a-z][a-z0-9-]{0,39}$/.test(name) && !name.endsWith('-')) return name
  throw new Failure('usage', `"${printable(maskValue(text))}" is not an app name`, {
    hint: 'Use 1 to 40 of a-z, 0-9 and "-", beginning with a letter, not ending in "-"',
  })
}

/** Storages have names like apps. */
export function parseStorageName(text: string): string {
  if (/^[a-z][a-z0-9-]{0,39}$/.test(text)) return text
  throw new Failure('usage', `"${printable(text)}" is not a storage name`, {
    hint: 'Use 1 to 40 of a-z, 0-9 and "-", beginning with a letter; paths of the host are not taken',
  })
}

/**
 * A path inside a container where a storage may be seen: nothing that hides the system or the app.
 */
export function parseTarget(text: string): string {
  const path = posix.normalize(text).replace(/\/$/, '')
  const taken = /^(|\/app)$|^\/(dev|proc|sys|run|etc|bin|sbin|lib|lib32|lib64|libx32|usr)(\/|$)/
  const hint = 'Use an absolute path such as /app/uploads or /data'
  if (!/^\/[\w./@+-]{0,200}$/.test(text)) {
    throw new Failure('usage', `"${printable(text)}" is not a path for a storage`, { hint })
  }
  if (!taken.test(path)) return path
  const of = path === '/app' ? 'the code of the app' : 'the system of the container'
  throw new Failure('usage', `${path || '/'} holds ${of}, which a storage would hide`, { hint })
}

/** A process type as a Procfile may name it. */
export function isProcessType(text: string): boolean {
  return /^[a-z][a-z0-9-]{0,62}$/.test(text)
}

/** Config keys; those that the platform sets itself are refused. */
export function parseConfigKey(text: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(text)) {
    throw new Failure('usage', `"${printable(maskValue(text))}" is not a config key`, {
      hint: 'Use letters, digits and "_", not beginning with a digit',
    })
  }
  if (/^(PORT|DYNO|GIT_REV|HOME)$|^PAAS_/.test(text)) {
    throw new Failure('usage', `${text} is set by paas itself and cannot be changed`)
  }
  return text
}

/** A full domain name in lower case. */
export function parseDomain(text: string): string {
  const name = inAscii(text).toLowerCase().replace(/\.$/, '')
  const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
  if (name.length <= 253 && new RegExp(`^${label}(\\.${label})*$`).test(name)) return name
  throw new Failure('usage', `"${printable(text)}" is not a domain name`, {
    hint: 'Use a name like www.example.com',
  })
}

/** `münchen.de` as DNS and browsers have it; what is ASCII already stays as it is. */
function inAscii(text: string): string {
  return /[^\x00-\x7f]/.test(text) ? domainToASCII(text) || text : text
}

/** A branch name that git itself would take (the part after refs/heads/). */
export function parseBranch(text: string): string {
  const bad = /^-|^[./]|[./]$|\.\.|\/[./]|@\{|[\x00-\x20\x7f~^:?*[\\]|\.lock(\/|$)/
  if (text.length > 0 && Buffer.byteLength(text) <= 200 && !bad.test(text)) return text
  throw new Failure('usage', `"${printable(text)}" is not a branch name`)
}

/** User text made safe to echo: no control characters, at most 80 characters. */
export function printable(text: string): string {
  const clean = text.replace(/[\x00-\x1f\x7f-\x9f]/g, '?')
  return clean.length > 80 ? `${clean.slice(0, 80)}…` : clean
}

/** For sorting names, by their bytes: `localeCompare` begins with 40 ms of reading ICU's tables. */
export function byText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** A fresh instance id: 12 hex digits. */
export function newId(): string {
  return randomBytes(6).toString('hex')
}

/** Where everything of an instance lies. Nothing else joins these paths. */
export function paths(config: PaasConfig) {
  const { home, run, cache } = config
  return {
    home,
    run,
    database: join(home, 'paas.db'),
    /** Opens the config in the database; worth a backup of its own. */
    configKey: join(home, 'config.key'),
    hostKeys: join(home, 'host_keys'),
    plugins: join(home, 'plugins'),
    repos: join(home, 'repos'),
    repo: (app: string) => join(home, 'repos', `${app}.git`),
    logs: (app: string) => join(home, 'logs', app),
    /** Parent of this instance's layers and scratch directories, which share one file system. */
    store: join(home, 'store'),
    /**
     * What an app's package manager downloaded, mounted into its builds; may be emptied any time.
     */
    buildCache: (app: string) => join(home, 'store', 'caches', app),
    /** What builds of an app's Dockerfile keep; may be emptied any time. No build step sees it. */
    dockerCache: (app: string) => join(home, 'store', 'docker', app),
    /** Writable directories of containers: `scratch/<id>/{upper,work}`. */
    scratch: (id: string) => join(home, 'store', 'scratch', id),
    /** Named storages, with the ids that containers see. */
    storage: (name: string) => join(home, 'store', 'storage', name),
    trash: join(home, 'store', 'trash'),
    layers: join(home, 'store', 'layers'),
    /** Layers that all instances on the host share. */
    sharedLayers: join(cache, 'layers'),
    /** What is known of layers as blobs of an OCI image. */
    layerNotes: join(home, 'store', 'notes'),
    /** Layers half made: emptied at boot, or by the next maker of the same shared layer. */
    making: join(home, 'store', 'making'),
    sharedMaking: join(cache, 'making'),
    /** What each instance on the host needs of the shared layers, a file an instance. */
    sharedUsers: join(cache, 'users'),
    /** Files whose kernel lock is held while a shared layer is made. */
    locks: join(cache, 'locks'),
    /** Which stacks new builds stand on, once `stack:build` has made newer ones. */
    stackGeneration: join(home, 'stack'),
    /** Debian's package lists for a stack: `<time in ms>/{lists,index}`. */
    aptLists: (stack: string) => join(cache, 'apt', stack),
    /** Published versions of a tool, as the registry last told. */
    versions: (tool: string) => join(cache, 'versions', `${tool}.json`),
    layer: (layer: Pick<Layer, 'kind' | 'key'>) => {
      return ['stack', 'apt', 'runtime'].includes(layer.kind)
        ? join(cache, 'layers', layer.key)
        : join(home, 'store', 'layers', layer.key)
    },
    /** OCI bundle of a container; its presence is the claim that the container may exist. */
    bundle: (id: string) => join(run, 'bundles', id),
    bundles: join(run, 'bundles'),
    runcRoot: join(run, 'runc'),
    /** Programs kept in memory, for as long as the daemon runs. */
    programs: join(run, 'bin'),
    exits: join(run, 'exits'),
    idmaps: join(run, 'idmaps'),
    routes: join(run, 'routes'),
    caddy: join(run, 'caddy'),
    /** Caddy's own storage: its certificate authority and certificates. */
    certificates: join(home, 'caddy'),
    compileCache: join(cache, 'compiled'),
    socket: join(run, 'paas.sock'),
    daemonPid: join(run, 'paas.pid'),
    daemonLog: join(home, 'logs', 'daemon.log'),
  }
}

/** Names of kernel objects, all derived from the instance tag and a container id. */
export function kernelNames(config: PaasConfig) {
  return {
    bridge: config.tag,
    /** Host end of a container's veth pair; the kernel allows 15 characters. */
    veth: (id: string) => `pv${id}`,
    nftTable: config.tag,
    /** Path below each cgroup hierarchy's root. */
    cgroup: (id: string) => `/${config.tag}/${id}`,
    cgroupParent: `/${config.tag}`,
    /** Those of builds lie apart, so that they can weigh less than everything else together. */
    builds: `/${config.tag}-builds`,
    buildCgroup: (id: string) => `/${config.tag}-builds/${id}`,
    /** Groups of the monitors, beside those of their containers. */
    monitors: `/${config.tag}/monitors`,
    monitorCgroup: (id: string) => `/${config.tag}/monitors/${id}`,
  }
}
