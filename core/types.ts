import type { AppJson } from './app-json.ts'

/** The nouns of paas, on one screen. Rooms take and return these plain values. */

/** One line to whoever waits (no newline); `-----> ` opens a step, ` !     ` warns. */
export type Say = (line: string) => void

/** Who asked: the name a key was added under, or root on the local socket (`local`). */
export type Identity = { name: string; local?: true }

export type LayerKind = 'stack' | 'apt' | 'runtime' | 'dependencies' | 'build' | 'app' | 'image'

/**
 * A read-only directory, named by what went into it; `label` is for people. An apt layer has the
 * names of the packages that were asked for, and what else decided its key, so that it can be made
 * again on another stack.
 */
export type Layer = {
  kind: LayerKind
  key: string
  label: string
  packages?: string[]
  marks?: string[]
}

/**
 * What a build leaves behind. `layers` lie lowest first; `processes` maps a type to its command.
 */
export type Image = {
  layers: Layer[]
  processes: Record<string, string>
  env: Record<string, string>
  language: string
  /** The cron jobs that the code's own app.json asks for. */
  cron?: CronEntry[]
  /** What the code's own app.json asks for, where there is one. */
  appJson?: AppJson
  /** Whether scripts in .profile.d are read before a process starts. */
  profile?: true
  /** Argument lists of the types that run without a shell; `processes` shows them to people. */
  commands?: Record<string, string[]>
  /** Where processes start; `/app` unless given. */
  workdir?: string
  /** Whom processes run as; the app user unless given. */
  user?: ContainerUser
  /** Where `web` listens; `appPort` unless given. */
  port?: number
  /**
   * What it was built and stands on in the place of the stack, by its name and exactly: so many of
   * its layers, and an environment of its own.
   */
  base?: { name: string; digest: string; layers: number; env: Record<string, string> }
}

/** A user as the kernel knows one, within a container: root is root there alone. */
export type ContainerUser = { uid: number; gid: number; groups?: number[] }

/** What runs on a schedule, in a time zone by its IANA name, and beside itself or not. */
export type CronEntry = {
  command: string
  schedule: string
  timezone: string
  concurrency: 'allow' | 'forbid' | 'replace'
}

/**
 * `cpus` in cores (0.5 = half of one); a container may not leave these. `diskBytes`: of what it
 * writes outside of storages, `defaultDiskBytes` unless given, where the file system can limit it.
 */
export type Limits = { memoryBytes: number; cpus: number; pids: number; diskBytes?: number }

/** Those of every process of an app, but for what a process type has of its own. */
export type AppLimits = Limits & { types?: Record<string, Partial<Limits>> }

/** How many of each process type run. */
export type Formation = Record<string, number>

export type Config = Record<string, string>

/** A named storage, and the path inside the app's containers where it is seen. */
export type Mount = { storage: string; target: string }

export type App = {
  id: number
  name: string
  deployBranch: string | null
  currentRelease: number | null
  limits: AppLimits
  createdAt: string
  /** How many of each type ran when it was stopped by `ps:stop`. */
  stopped: Formation
  /** Who locked it; nobody may change it then. */
  lockedBy: string | null
  /** The page that all requests get, empty for ours; null while requests reach the app. */
  maintenance: string | null
  /** How its code is built, when its owner has said so. */
  builder: string | null
}

/** Image + config + formation + limits + mounts, numbered from 1 within its app, immutable. */
export type Release = {
  id: number
  app: string
  version: number
  commit: string | null
  image: Image
  /** The app's own; it wins over `globals`, the config that all apps share, as it was then. */
  config: Config
  globals?: Config
  formation: Formation
  limits: AppLimits
  mounts: Mount[]
  /** Why it exists: `Deploy 1a2b3c4`, `Set KEY`, `Roll back to v3`. */
  cause: string
  by: string
  createdAt: string
}

/** A terminal's size, in characters. */
export type WindowSize = { columns: number; rows: number }

/** One container as it is to be started. `id` is 12 hex digits and names every kernel object. */
export type InstanceSpec = {
  id: string
  app: string
  /** `web.1` */
  process: string
  /** The release's version, 0 for a build. */
  release: number
  layers: Layer[]
  argv: string[]
  env: Record<string, string>
  /** IPv4 address on our bridge. */
  address: string
  limits: Limits
  /** What dies first when memory runs out: a build, then a one-off, then an app (the default). */
  kind?: 'app' | 'run' | 'build'
  /** The window of the terminal at which the program sits, if it sits at one of its own. */
  terminal?: WindowSize | undefined
  /**
   * `root` is root inside the container only, without any capability; `app` by default. A root
   * given by its number, as an image says it, has those over its own files and users.
   */
  user?: 'app' | 'root' | ContainerUser
  /** Where the program starts; `/app` by default. */
  workdir?: string
  /** Where it listens, for whoever asks whether it does; `appPort` by default. */
  port?: number
  /**
   * Root inside, and what it takes to make containers: to mount, in its own user namespace alone.
   * For programs that build images; needs the host to have user namespaces.
   */
  nested?: boolean
  /** Directories of the instance's store, or readable ones of the host, shown inside. */
  mounts?: { source: string; target: string; readOnly: boolean }[]
}

/** A started container. */
export type Instance = {
  id: string
  app: string
  process: string
  release: number
  address: string
  /** Process id of the container's init on the host. */
  pid: number
  /** When it was started, in milliseconds since the epoch. */
  startedAt: number
  /** A one-off belongs to no formation; without this it is an app's process. */
  kind?: 'run'
  /** Where it listens; `appPort` unless given. */
  port?: number
  /** Keys of the layers that it stands on; its release may be forgotten before it is gone. */
  layers?: string[]
}

/** How a container ended, as its monitor saw it. `code` is 128 + n for signal n. */
export type Exit = {
  id: string
  code: number
  oom: boolean
  at: string
  /** What it was allowed and the most it had, where the kernel still knew. */
  memory?: { limitBytes: number; peakBytes: number }
}
