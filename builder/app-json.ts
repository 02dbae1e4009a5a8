import type { AppJson, EnvEntry, HealthCheck, Probe, Scripts, TypeWish } from '../core/app-json.ts'
import { limits } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { parseSize } from '../core/measures.ts'
import { isProcessType, parseConfigKey } from '../core/names.ts'
import { appJsonFile } from './app-json-file.ts'
import {
  flag,
  items,
  type Json,
  member,
  members,
  optional,
  required,
  text,
  within,
  words,
  wrong,
} from './json-document.ts'
import type { Source } from './source/source.ts'

/** What app.json at the root of a tree asks for; undefined when there is none. */
export function readAppJson(source: Source): AppJson | undefined {
  const json = appJsonFile(source)
  return json && toAppJson(json)
}

/**
 * The parts of an app.json that paas acts on, with durations in milliseconds and sizes in bytes.
 * Unknown keys are ignored. Throws a Failure that says where it is wrong, what is there and what
 * is wanted.
 */
export function toAppJson(json: Json): AppJson {
  return {
    env: Object.fromEntries(
      members(member(json, 'env')).map(([key, entry]) => [envKey(key), envEntry(entry)]),
    ),
    formation: byType(member(json, 'formation'), typeWish),
    healthchecks: byType(member(json, 'healthchecks'), (list) => items(list).map(healthCheck)),
    scripts: scripts(member(json, 'scripts')),
  }
}

/** The addresses in `buildpacks` of an app.json at the root of a tree. */
export function readBuildpacks(source: Source): string[] {
  const json = appJsonFile(source)
  const entries = (json && optional(json, 'buildpacks', items)) ?? []
  return entries.map((entry) => required(entry, 'url', { read: words, want: 'an address' }))
}

/** What of it names process types that the code does not have: a misspelling, most often. */
export function unknownTypes(appJson: AppJson, processes: Record<string, string>): string[] {
  const named = [...Object.keys(appJson.formation), ...Object.keys(appJson.healthchecks)]
  return [...new Set(named)].filter((type) => !(type in processes))
}

const instancesMost = 64
const secondsMost = 3600
const attemptsMost = 100
const mebibyte = 1024 * 1024

function byType<T>(json: Json | undefined, read: (json: Json) => T): Record<string, T> {
  return Object.fromEntries(
    members(json).map(([type, value]) => {
      if (isProcessType(type)) return [type, read(value)]
      throw new Failure('failed', `${value.path} in app.json is not for a process type`, {
        hint: 'Use a-z, 0-9 and "-", beginning with a letter, at most 63 characters',
      })
    }),
  )
}

function envKey(key: string): string {
  try {
    return parseConfigKey(key)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { message, hint } = error
    throw new Failure('failed', `env in app.json: ${message}`, hint ? { hint } : {})
  }
}

function envEntry(json: Json): EnvEntry {
  if (typeof json.value === 'string') {
    return { value: envValue(json), required: false, generate: false, sync: false }
  }
  if (typeof json.value !== 'object') throw wrong(json, 'text, or an object')
  const value = optional(json, 'value', envValue)
  const generator = member(json, 'generator')
  if (generator && generator.value !== 'secret') throw wrong(generator, '"secret"')
  return {
    ...(value === undefined ? {} : { value }),
    required: optional(json, 'required', flag) ?? (value === undefined && !generator),
    generate: generator !== undefined,
    sync: optional(json, 'sync', flag) ?? false,
  }
}

/** Not echoed when it is wrong: it may be a secret. */
function envValue(json: Json): string {
  const value = text(json)
  if (!value.includes('\0') && Buffer.byteLength(value) <= limits.configValueBytes) return value
  const most = `at most ${limits.configValueBytes} bytes and no NUL`
  throw new Failure('failed', `${json.path} in app.json is too long or binary: expected ${most}`)
}

function typeWish(json: Json): TypeWish {
  const most = json.path === 'formation.web' ? limits.routeUpstreams : instancesMost
  const quantity = optional(json, 'quantity', (one) => within(one, 0, most, true))
  const memoryBytes = optional(json, 'memory', memory)
  const cpus = optional(json, 'cpu', cpu)
  return {
    ...(quantity === undefined ? {} : { quantity }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpus === undefined ? {} : { cpus }),
    exclusive: optional(json, 'exclusive', flag) ?? false,
  }
}

/** `"256m"`, `"1g"`; a number is mebibytes. */
function memory(json: Json): number {
  const bytes = parseSize(String(json.value)) ?? NaN
  if (bytes >= 16 * mebibyte && bytes <= 2 ** 50) return bytes
  throw wrong(json, 'a size like "256m" or "1g", at least "16m"')
}

/** Cores; Dokku writes them as text. */
function cpu(json: Json): number {
  return within({ ...json, value: cpuNumber(json.value) }, 0.01, 1024)
}

function cpuNumber(value: unknown): unknown {
  return typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value
}

function scripts(json: Json | undefined): Scripts {
  if (!json) return {}
  const dokku = member(json, 'dokku')
  const predeploy = dokku && optional(dokku, 'predeploy', words)
  const postdeploy = dokku && optional(dokku, 'postdeploy', words)
  const firstDeploy = optional(json, 'postdeploy', words)
  return {
    ...(predeploy === undefined ? {} : { predeploy }),
    ...(postdeploy === undefined ? {} : { postdeploy }),
    ...(firstDeploy === undefined ? {} : { firstDeploy }),
  }
}

function healthCheck(json: Json): HealthCheck {
  const type = checkType(member(json, 'type'))
  const wait = optional(json, 'wait', seconds)
  const probe = checkProbe(json)
  if (type === 'liveness' && probe.kind === 'uptime') {
    throw new Failure('failed', `${json.path} in app.json is a liveness check of uptime`, {
      hint: 'Use path, command or listening: a process that runs is always up',
    })
  }
  return {
    type,
    probe,
    attempts: optional(json, 'attempts', (one) => within(one, 1, attemptsMost, true)) ?? 3,
    timeoutMs: optional(json, 'timeout', (one) => 1000 * within(one, 0.1, secondsMost)) ?? 5000,
    ...(wait === undefined ? {} : { waitMs: wait }),
    initialDelayMs: optional(json, 'initialDelay', seconds) ?? 0,
  }
}

function checkType(json: Json | undefined): HealthCheck['type'] {
  if (!json) return 'startup'
  const types = ['startup', 'readiness', 'liveness'] as const
  const found = types.find((type) => type === json.value)
  if (found) return found
  throw wrong(json, '"startup", "readiness" or "liveness"')
}

function checkProbe(json: Json): Probe {
  const number = optional(json, 'port', (one) => within(one, 1, 65535, true))
  const port = number === undefined ? {} : { port: number }
  const path = optional(json, 'path', httpPath)
  const argv = optional(json, 'command', command)
  const uptime = optional(json, 'uptime', seconds)
  const listening = optional(json, 'listening', flag) ? true : undefined
  const given: (Probe | undefined)[] = [
    path === undefined ? undefined : { kind: 'path', path, ...port },
    argv && { kind: 'command', argv },
    uptime === undefined ? undefined : { kind: 'uptime', uptimeMs: uptime },
    listening && { kind: 'listening', ...port },
  ]
  const [probe, other] = given.filter((one) => one !== undefined)
  if (probe && !other) return probe
  const count = probe ? 'more than one' : 'none'
  throw new Failure('failed', `${json.path} in app.json has ${count} of path, command, …`, {
    hint: 'Give each check exactly one of: path, command, uptime, listening',
  })
}

function httpPath(json: Json): string {
  const value = text(json)
  if (/^\/[\x21-\x7e]*$/.test(value)) return value
  throw wrong(json, 'a path like "/health"')
}

/** Text is for a shell; a list is a program and its arguments as they are. */
function command(json: Json): string[] {
  if (!Array.isArray(json.value)) return ['sh', '-c', words(json)]
  const argv = items(json).map(text)
  if (argv.length > 0 && argv[0] !== '' && !argv.some((one) => one.includes('\0'))) return argv
  throw wrong(json, 'a program and its arguments')
}

function seconds(json: Json): number {
  return 1000 * within(json, 0, secondsMost)
}
