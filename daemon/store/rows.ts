import type { SQLOutputValue } from 'node:sqlite'
import { Failure } from '../../core/errors.ts'
import type {
  App,
  AppLimits,
  Config,
  ContainerUser,
  CronEntry,
  Image,
  Limits,
  Mount,
} from '../../core/types.ts'
import { toAppJson } from './app-json.ts'
import type { Build, Key, ReleaseRow } from './nouns.ts'
import { number, object, text } from './values.ts'

export { number, object, text } from './values.ts'

/** Rows to nouns. A row of the wrong shape is a defect and throws a TypeError. */

export type Row = Record<string, SQLOutputValue>

export function toApp(row: Row): App {
  return {
    id: number(row.id),
    name: text(row.name),
    deployBranch: row.deploy_branch === null ? null : text(row.deploy_branch),
    currentRelease: row.current_release === null ? null : number(row.current_release),
    limits: toLimits(json(row.limits)),
    createdAt: text(row.created_at),
    stopped: toNumbers(json(row.stopped)),
    lockedBy: row.locked_by === null ? null : text(row.locked_by),
    builder: row.builder === null ? null : text(row.builder),
    maintenance: row.maintenance === null ? null : text(row.maintenance),
  }
}

/** Its config is opened when somebody asks for it: most who read a release do not. */
export function toRelease(row: Row, unsealed: (stored: string) => Config): ReleaseRow {
  const status = text(row.status)
  const config = once(() => unsealed(text(row.config)))
  const globals = once(() => unsealed(text(row.globals)))
  return {
    id: number(row.id),
    app: text(row.app),
    version: number(row.version),
    status: status === 'live' || status === 'starting' ? status : 'failed',
    error: row.error === null ? null : text(row.error),
    commit: row.git_commit === null ? null : text(row.git_commit),
    image: toImage(json(row.image)),
    get config() {
      return config()
    },
    get globals() {
      return globals()
    },
    formation: toNumbers(json(row.formation)),
    limits: toLimits(json(row.limits)),
    mounts: toMounts(json(row.mounts)),
    cause: text(row.cause),
    by: text(row.by),
    createdAt: text(row.created_at),
  }
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => (made ??= { value: make() }).value
}

export function toBuild(row: Row): Build {
  const statuses = ['waiting', 'running', 'succeeded', 'failed', 'cancelled'] as const
  return {
    id: number(row.id),
    number: number(row.number),
    status: statuses.find((status) => status === row.status) ?? 'failed',
    commit: text(row.git_commit),
    error: row.error === null ? null : text(row.error),
    by: text(row.by),
    createdAt: text(row.created_at),
    startedAt: row.started_at === null ? null : text(row.started_at),
    finishedAt: row.finished_at === null ? null : text(row.finished_at),
  }
}

export function toKey(row: Row): Key {
  return {
    name: text(row.name),
    fingerprint: text(row.fingerprint),
    algorithm: text(row.algorithm),
    createdAt: text(row.created_at),
  }
}

export function toImage(value: unknown): Image {
  const { layers, processes, env, language, cron, appJson, profile, base, ...run } = object(value)
  if (!Array.isArray(layers)) throw new TypeError('image without layers in the database')
  return {
    layers: layers.map((layer) => {
      const { kind, key, label, packages, marks } = object(layer)
      return {
        ...{ kind: layerKind(kind), key: text(key), label: text(label) },
        ...(Array.isArray(packages) && { packages: packages.map(text) }),
        ...(Array.isArray(marks) && { marks: marks.map(text) }),
      }
    }),
    processes: toStrings(processes),
    env: toStrings(env),
    language: text(language),
    ...(appJson === undefined ? {} : { appJson: toAppJson(appJson) }),
    ...(Array.isArray(cron) && { cron: cron.map(toCronEntry) }),
    ...(profile === true && { profile }),
    ...(base === undefined ? {} : { base: toBase(base) }),
    ...toRunSettings(run),
  }
}

function toBase(value: unknown): NonNullable<Image['base']> {
  const { name, digest, layers, env } = object(value)
  return { name: text(name), digest: text(digest), layers: number(layers), env: toStrings(env) }
}

/** What an image says itself of how its processes run; most say nothing. */
function toRunSettings({ commands, workdir, user, port }: Record<string, unknown>) {
  const lists = commands === undefined ? [] : Object.entries(object(commands))
  return {
    ...(lists.length > 0 && {
      commands: Object.fromEntries(lists.map(([type, argv]) => [type, texts(argv)])),
    }),
    ...(workdir === undefined ? {} : { workdir: text(workdir) }),
    ...(user === undefined ? {} : { user: toUser(user) }),
    ...(port === undefined ? {} : { port: number(port) }),
  }
}

function toUser(value: unknown): ContainerUser {
  const { uid, gid, groups } = object(value)
  const ids = { uid: number(uid), gid: number(gid) }
  return Array.isArray(groups) ? { ...ids, groups: groups.map(number) } : ids
}

export function texts(value: unknown): string[] {
  if (!Array.isArray(value)) throw new TypeError('a command is no list in the database')
  return value.map(text)
}

export function toCronEntry(value: unknown): CronEntry {
  const { command, schedule, timezone, concurrency } = object(value)
  const policies = ['allow', 'forbid', 'replace'] as const
  return {
    command: text(command),
    schedule: text(schedule),
    timezone: text(timezone),
    concurrency: policies.find((policy) => policy === concurrency) ?? 'forbid',
  }
}

export function layerKind(value: unknown) {
  const kinds = ['stack', 'apt', 'runtime', 'dependencies', 'build', 'app', 'image'] as const
  const kind = kinds.find((one) => one === value)
  if (!kind) throw new TypeError(`unknown layer kind ${String(value)} in the database`)
  return kind
}

export function toLimits(value: unknown): AppLimits {
  const { memoryBytes, cpus, pids, diskBytes, types } = object(value)
  const all = {
    memoryBytes: number(memoryBytes),
    cpus: number(cpus),
    pids: number(pids),
    ...(diskBytes === undefined ? {} : { diskBytes: number(diskBytes) }),
  }
  if (types === undefined) return all
  const own = Object.entries(object(types)).map(([type, some]) => [type, toSomeLimits(some)])
  return { ...all, types: Object.fromEntries(own) }
}

function toSomeLimits(value: unknown): Partial<Limits> {
  const { memoryBytes, cpus, pids, diskBytes } = toNumbers(value)
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(pids === undefined ? {} : { pids }),
    ...(diskBytes === undefined ? {} : { diskBytes }),
  }
}

export function toMounts(value: unknown): Mount[] {
  if (!Array.isArray(value)) throw new TypeError('mounts are no list in the database')
  return value.map((one) => {
    const { storage, target } = object(one)
    return { storage: text(storage), target: text(target) }
  })
}

export function toStrings(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(object(value)).map(([key, one]) => [key, text(one)]))
}

export function toNumbers(value: unknown): Record<string, number> {
  return Object.fromEntries(Object.entries(object(value)).map(([key, one]) => [key, number(one)]))
}

export function json(value: SQLOutputValue | undefined): unknown {
  return JSON.parse(text(value))
}

export function must<T>(row: T | undefined): T {
  if (row === undefined) throw new Failure('failed', 'That was removed meanwhile')
  return row
}

export function optional<T>(row: Row | undefined, read: (row: Row) => T): T | undefined {
  return row && read(row)
}
